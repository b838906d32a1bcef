//go:build reliability

package tenancy_test

import (
	"context"
	"net/http"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	clocks "k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/pipes-operator/pipes-operator/controllers/pipesenvironment"
	"github.com/pipes-operator/pipes-operator/controllers/pipestoken"
	"github.com/pipes-operator/pipes-operator/internal/compact"
	"github.com/pipes-operator/pipes-operator/internal/connection"
	"github.com/pipes-operator/pipes-operator/internal/ledger"
	"github.com/pipes-operator/pipes-operator/internal/metrics"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
	"github.com/pipes-operator/pipes-operator/test/reliability/shipped"
)

const (
	soon  = 20 * time.Second
	often = 10 * time.Millisecond
)

var (
	// clock is the clock of the operator and of WorkOS. It stands still unless a spec steps it.
	clock = testingclock.NewFakeClock(time.Now().UTC().Truncate(time.Second))
	// queues are the queues of the operator. Their timers run on clock.
	queues = newTimeline(clock)
	// operator works in all namespaces, as config/default installs it.
	operator = &process{}
)

// process is one process of the operator, with its own memory and caches.
type process struct {
	stop func()
}

// place is everything that differs between the operators of this suite: the clock, the queues and
// the network.
type place struct {
	clock                clocks.PassiveClock
	tokens, environments controller.Options
	transport            http.RoundTripper
	hosts                []string
}

// start starts the operator as cmd/pipes-operator does, with the rights of its service account
// and the default flags of config/default. Only the clock, the queues and the network differ.
func (p *process) start() {
	GinkgoHelper()
	p.startAt(place{clock: clock, tokens: queues.options(), environments: queues.options(), transport: network.transport(), hosts: workosHosts})
}

func (p *process) startAt(where place) {
	GinkgoHelper()
	waitUntilAllowed(context.Background(), shipped.User, shipped.Namespace, "get", "", "secrets")
	waitUntilAllowed(context.Background(), shipped.User, "", "watch", "pipes.workos.com", "pipestokens")
	manager, err := ctrl.NewManager(actingAs(shipped.User, "system:serviceaccounts", "system:serviceaccounts:"+shipped.Namespace), ctrl.Options{
		Scheme:  scheme,
		Metrics: metricsserver.Options{BindAddress: "0"},
		Cache:   cache.Options{ByObject: compact.ByObject(sharding.Shard{}), ReaderFailOnMissingInformer: true},
		Client:  client.Options{FieldOwner: tokensecret.FieldManager, Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}},
	})
	Expect(err).NotTo(HaveOccurred())
	secrets, err := pipestoken.NewSecretClient(manager.GetConfig(), manager.GetHTTPClient())
	Expect(err).NotTo(HaveOccurred())
	registry := prometheus.NewRegistry()
	tokensDue := &ledger.Ledger{}
	counters, err := metrics.New(registry, tokensDue, where.clock, true)
	Expect(err).NotTo(HaveOccurred())
	connections := &connection.Registry{
		Reader:       manager.GetAPIReader(),
		Upstream:     workos.New(workos.Options{UserAgent: "pipes-operator/test", Clock: where.clock, Transport: where.transport}),
		AllowedHosts: where.hosts,
	}
	tokens := &pipestoken.Reconciler{
		Client: manager.GetClient(), Secrets: secrets, Connections: connections,
		Recorder: manager.GetEventRecorder(tokensecret.FieldManager), Clock: where.clock, Ledger: tokensDue, Metrics: counters,
		DefaultEnvironment: types.NamespacedName{Namespace: shipped.Namespace, Name: "default"},
	}
	ctx, cancel := context.WithCancel(context.Background())
	Expect(tokens.SetupWithManager(ctx, manager, where.tokens)).To(Succeed())
	environments := &pipesenvironment.Reconciler{
		Client: manager.GetClient(), Connections: connections, Recorder: manager.GetEventRecorder(tokensecret.FieldManager), Clock: where.clock, Ledger: tokensDue, Metrics: counters,
	}
	Expect(environments.SetupWithManager(manager, where.environments)).To(Succeed())

	var running sync.WaitGroup
	running.Go(func() {
		defer GinkgoRecover()
		Expect(manager.Start(ctx)).To(Succeed())
	})
	p.stop = sync.OnceFunc(func() { cancel(); running.Wait(); said.gather(registry) })
}
