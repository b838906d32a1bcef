package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/compact"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// reconciliationTimeout limits one reconcile: one call to WorkOS, which has its own timeout, and
// two writes.
const reconciliationTimeout = time.Minute

// When a replica dies, no token is renewed until its Lease expires. Therefore leaseDuration and
// retryPeriod are shorter than the usual 15 and 2 seconds. A process that cannot renew its Lease
// within renewDeadline exits. The usual renewDeadline is 10 seconds. If it were much shorter, a
// busy node would be enough to make the process exit.
const (
	leaseDuration = 10 * time.Second
	renewDeadline = 8 * time.Second
	retryPeriod   = time.Second
)

// run runs the operator until ctx ends.
func run(ctx context.Context, o options) error {
	shard, err := o.shard()
	if err != nil {
		return err
	}
	manager, err := newManager(o, shard)
	if err != nil {
		return err
	}
	shared, err := newParts(manager, o, shard)
	if err != nil {
		return err
	}
	// The reconciles that are under way at the end are the last to record something. The manager
	// ends them last, so the audit log cannot be one of its runnables.
	defer shared.endAudit()
	if err := setUp(ctx, manager, o, shared); err != nil {
		return err
	}
	ctrl.Log.Info("Starting pipes-operator", "version", version)
	return manager.Start(ctx)
}

func newManager(o options, shard sharding.Shard) (ctrl.Manager, error) {
	kubeconfig, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding a Kubernetes API (set KUBECONFIG, or run in a cluster): %w", err)
	}
	election := limitRequests(kubeconfig, o)
	kubeconfig.UserAgent = "pipes-operator/" + version

	options := managerOptions(o, shard)
	options.LeaderElectionConfig = election
	if o.controllerRing != "" {
		options.LeaderElection = true
		if options.LeaderElectionResourceLockInterface, err = o.ringLease(election, o.leaderElectNamespace); err != nil {
			return nil, fmt.Errorf("--controller-ring: %w", err)
		}
	}
	manager, err := ctrl.NewManager(kubeconfig, options)
	if err != nil {
		return nil, fmt.Errorf("setting up the manager: %w", err)
	}
	return manager, nil
}

// limitRequests sets the rate limit of kubeconfig. It returns a copy for the leader election,
// which has its own limit, because the leader election must not wait behind the controllers.
func limitRequests(kubeconfig *rest.Config, o options) (election *rest.Config) {
	kubeconfig.QPS, kubeconfig.Burst = float32(o.kubeAPIQPS), o.kubeAPIBurst
	if o.kubeAPIQPS <= 0 {
		kubeconfig.QPS = -1 // 0 would be client-go's default: 5 per second for each client
		return rest.CopyConfig(kubeconfig)
	}
	election = rest.CopyConfig(kubeconfig)
	// All clients share this bucket. Otherwise each client would have its own.
	kubeconfig.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(kubeconfig.QPS, kubeconfig.Burst)
	return election
}

func managerOptions(o options, shard sharding.Shard) ctrl.Options {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return ctrl.Options{
		Scheme:  scheme,
		Metrics: metricsOptions(o),
		Cache: cache.Options{
			ByObject:                    compact.ByObject(shard),
			DefaultNamespaces:           cacheNamespaces(o),
			ReaderFailOnMissingInformer: true,
			DefaultWatchErrorHandler:    watchFailed,
		},
		Client: client.Options{
			FieldOwner: tokensecret.FieldManager,
			Cache:      &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)},
		},
		HealthProbeBindAddress:        o.healthProbeBindAddress,
		PprofBindAddress:              o.pprofBindAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              o.electionID(),
		LeaderElectionNamespace:       o.leaderElectNamespace,
		LeaseDuration:                 ptr.To(leaseDuration),
		RenewDeadline:                 ptr.To(renewDeadline),
		RetryPeriod:                   ptr.To(retryPeriod),
		LeaderElectionReleaseOnCancel: true, // main ends when the manager does
		Controller: config.Controller{
			ReconciliationTimeout: reconciliationTimeout,
			EnableWarmup:          ptr.To(true),
		},
	}
}

// watchFailed logs why a watch ended. A watch that ends because the process stops is no error.
func watchFailed(ctx context.Context, reflector *toolscache.Reflector, err error) {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return
	}
	toolscache.DefaultWatchErrorHandler(ctx, reflector, err)
}

// cacheNamespaces returns the namespaces that the caches hold; nil: all.
func cacheNamespaces(o options) map[string]cache.Config {
	namespaces := o.namespaces()
	if namespaces.Len() == 0 {
		return nil
	}
	configs := map[string]cache.Config{}
	for namespace := range namespaces {
		configs[namespace] = cache.Config{}
	}
	return configs
}

func addProbes(manager ctrl.Manager, liveness map[string]healthz.Checker) error {
	for name, check := range liveness {
		if err := manager.AddHealthzCheck(name, check); err != nil {
			return fmt.Errorf("adding the liveness check %s: %w", name, err)
		}
	}
	if err := manager.AddReadyzCheck("caches", cachesSynced(manager.GetCache())); err != nil {
		return fmt.Errorf("adding the readiness check: %w", err)
	}
	return nil
}

// cachesSynced returns a readiness check that succeeds once all caches are filled.
func cachesSynced(caches cache.Cache) healthz.Checker {
	return func(request *http.Request) error {
		// WaitForCacheSync waits until the caches are filled, but the probe has to answer at
		// once.
		ctx, cancel := context.WithTimeout(request.Context(), 100*time.Millisecond)
		defer cancel()
		if !caches.WaitForCacheSync(ctx) {
			return errors.New("the caches are not filled yet")
		}
		return nil
	}
}
