package harness

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/pipes-operator/pipes-operator/controllers/pipesenvironment"
	"github.com/pipes-operator/pipes-operator/controllers/pipesevents"
	"github.com/pipes-operator/pipes-operator/controllers/pipestoken"
	"github.com/pipes-operator/pipes-operator/internal/audit"
	"github.com/pipes-operator/pipes-operator/internal/compact"
	"github.com/pipes-operator/pipes-operator/internal/connection"
	"github.com/pipes-operator/pipes-operator/internal/eventfeed"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
	"github.com/pipes-operator/pipes-operator/internal/ledger"
	"github.com/pipes-operator/pipes-operator/internal/liveness"
	"github.com/pipes-operator/pipes-operator/internal/metrics"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// Operator is an operator inside the process of the tests, with its own memory and caches. It is
// wired as cmd/pipes-operator does it, except for the clock, the queues and the network.
type Operator struct {
	// Config is its access to the API server.
	Config *rest.Config
	// Namespaces are those that it watches; none: all.
	Namespaces []string
	// Environment is the PipesEnvironment of PipesTokens that name none.
	Environment types.NamespacedName
	Shard       sharding.Shard
	// WorkOS are the options of the client for WorkOS. Their clock is the clock of the operator.
	WorkOS workos.Options
	// Hosts are the hosts that API keys may be sent to. Insecure allows HTTP.
	Hosts    []string
	Insecure bool
	// Tokens and Environments are the options of the controllers. Events are those of the controller
	// that follows events. Nil: events are not followed.
	Tokens, Environments controller.Options
	Events               *controller.Options
	// Audit is where the audit log is written; nil: nowhere.
	Audit io.Writer
	// Change changes the reconciler of PipesTokens before its start.
	Change []func(*pipestoken.Reconciler)
}

// Running is an operator that has been started.
type Running struct {
	// Stop ends it. It may be called more than once.
	Stop func()
	// Caches is its cache.
	Caches   client.Reader
	Watchdog *liveness.Watchdog
	Metrics  prometheus.Gatherer
	audit    *audit.Log
}

// endAudit writes the rest of the audit log.
func (r *Running) endAudit() { _ = r.audit.Close(context.Background()) }

// Start starts the operator. It calls ended with the result when the operator has ended.
func (o Operator) Start(ended func(error)) (*Running, error) {
	manager, err := o.manager()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	running, err := o.setUp(ctx, manager)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("setting up the operator: %w", err)
	}
	var working sync.WaitGroup
	working.Go(func() { ended(manager.Start(ctx)) })
	running.Stop = sync.OnceFunc(func() { cancel(); working.Wait(); running.endAudit() })
	return running, nil
}

func (o Operator) manager() (ctrl.Manager, error) {
	var namespaces map[string]cache.Config
	for _, name := range o.Namespaces {
		if namespaces == nil {
			namespaces = map[string]cache.Config{}
		}
		namespaces[name] = cache.Config{}
	}
	return ctrl.NewManager(o.Config, ctrl.Options{
		Scheme:  Scheme,
		Metrics: metricsserver.Options{BindAddress: "0"},
		Cache: cache.Options{
			ByObject:                    compact.ByObject(o.Shard),
			DefaultNamespaces:           namespaces,
			ReaderFailOnMissingInformer: true,
		},
		Client: client.Options{
			FieldOwner: tokensecret.FieldManager,
			Cache:      &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)},
		},
	})
}

func (o Operator) setUp(ctx context.Context, manager ctrl.Manager) (*Running, error) {
	secrets, err := pipestoken.NewSecretClient(manager.GetConfig(), manager.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	clock, registry := o.WorkOS.Clock, prometheus.NewRegistry()
	dues := &ledger.Ledger{}
	counters, err := metrics.New(registry, dues, clock, true)
	if err != nil {
		return nil, err
	}
	connections := &connection.Registry{
		Reader: manager.GetAPIReader(), Upstream: workos.New(o.WorkOS),
		AllowedHosts: o.Hosts, AllowInsecure: o.Insecure,
	}
	tokens := &pipestoken.Reconciler{
		Client: manager.GetClient(), Secrets: secrets, Connections: connections,
		Recorder: manager.GetEventRecorder(tokensecret.FieldManager), Clock: clock, Ledger: dues, Metrics: counters,
		Watchdog:           liveness.NewWatchdog(clock, max(1, o.Tokens.MaxConcurrentReconciles), fairqueue.MaxErrorBackoff),
		DefaultEnvironment: o.Environment,
		WatchNamespaces:    sets.New(o.Namespaces...),
		Shard:              o.Shard,
	}
	if o.Audit != nil {
		tokens.Audit = audit.Start(audit.Options{To: o.Audit, Counted: counters.Audited, Clock: clock})
	}
	for _, change := range o.Change {
		change(tokens)
	}
	if err := tokens.SetupWithManager(ctx, manager, o.Tokens); err != nil {
		return nil, err
	}
	if err := tokens.SetupExpiryWithManager(manager); err != nil {
		return nil, err
	}
	environments := &pipesenvironment.Reconciler{
		Client: manager.GetClient(), Connections: connections, Shard: o.Shard,
		Recorder: manager.GetEventRecorder(tokensecret.FieldManager), Clock: clock, Ledger: dues, Metrics: counters,
	}
	if err := o.followEvents(manager, tokens, environments); err != nil {
		return nil, err
	}
	if err := environments.SetupWithManager(manager, o.Environments); err != nil {
		return nil, err
	}
	return &Running{Caches: manager.GetCache(), Watchdog: tokens.Watchdog, Metrics: registry, audit: tokens.Audit}, nil
}

// followEvents adds the controller that follows events, if there is to be one.
func (o Operator) followEvents(
	manager ctrl.Manager, tokens *pipestoken.Reconciler, environments *pipesenvironment.Reconciler,
) error {
	if o.Events == nil {
		return nil
	}
	feed := &eventfeed.Feed{}
	tokens.Feed, environments.Feed = feed, feed
	events := &pipesevents.Reconciler{
		Client: manager.GetClient(), Connections: tokens.Connections, Feed: feed, Listener: tokens,
		Clock: tokens.Clock, Metrics: tokens.Metrics,
	}
	return events.SetupWithManager(manager, *o.Events)
}
