package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/pipes-operator/pipes-operator/controllers/pipesenvironment"
	"github.com/pipes-operator/pipes-operator/controllers/pipesevents"
	"github.com/pipes-operator/pipes-operator/controllers/pipestoken"
	"github.com/pipes-operator/pipes-operator/internal/audit"
	"github.com/pipes-operator/pipes-operator/internal/connection"
	"github.com/pipes-operator/pipes-operator/internal/eventfeed"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
	"github.com/pipes-operator/pipes-operator/internal/ledger"
	"github.com/pipes-operator/pipes-operator/internal/liveness"
	ownmetrics "github.com/pipes-operator/pipes-operator/internal/metrics"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// parts are what the controllers share.
type parts struct {
	clock       clock.RealClock
	ledger      *ledger.Ledger
	metrics     *ownmetrics.Metrics
	connections *connection.Registry
	feed        *eventfeed.Feed
	shard       sharding.Shard
	audit       *audit.Log
	endAudit    func()
}

func newParts(manager ctrl.Manager, o options, shard sharding.Shard) (shared parts, err error) {
	shared = parts{ledger: &ledger.Ledger{}, feed: &eventfeed.Feed{}, shard: shard}
	shared.connections = newConnections(manager, o, shared.clock)
	shared.metrics, err = ownmetrics.New(metrics.Registry, shared.ledger, shared.clock, o.perObjectMetrics)
	if err != nil {
		return parts{}, fmt.Errorf("registering metrics: %w", err)
	}
	if err := ownmetrics.RegisterBuild(metrics.Registry, version, commit()); err != nil {
		return parts{}, fmt.Errorf("registering the build: %w", err)
	}
	shared.audit, shared.endAudit, err = startAudit(o.auditLog, shared.metrics, shared.clock)
	return shared, err
}

// setUp adds the controllers and the probes to the manager.
func setUp(ctx context.Context, manager ctrl.Manager, o options, shared parts) error {
	tokens, err := addTokens(ctx, manager, o, shared)
	if err != nil {
		return fmt.Errorf("setting up the controller of PipesTokens: %w", err)
	}
	environments, err := addEnvironments(manager, shared)
	if err != nil {
		return fmt.Errorf("setting up the controller of PipesEnvironments: %w", err)
	}
	events, err := addEvents(manager, shared, tokens)
	if err != nil {
		return fmt.Errorf("setting up the controller that follows events: %w", err)
	}
	return addProbes(manager, map[string]healthz.Checker{
		"pipestokens":       tokens.Watchdog.Check,
		"pipesenvironments": environments.Watchdog.Check,
		"events":            events.Watchdog.Check,
		"clock":             liveness.ClockMoves(shared.clock, shared.clock),
	})
}

func addTokens(ctx context.Context, manager ctrl.Manager, o options, shared parts) (*pipestoken.Reconciler, error) {
	environment, err := o.environment()
	if err != nil {
		return nil, err
	}
	secrets, err := pipestoken.NewSecretClient(manager.GetConfig(), manager.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	tokens := &pipestoken.Reconciler{
		Client: manager.GetClient(), Secrets: secrets, Connections: shared.connections, Feed: shared.feed,
		Recorder: manager.GetEventRecorder(tokensecret.FieldManager), Clock: shared.clock,
		Ledger: shared.ledger, Metrics: shared.metrics, Audit: shared.audit, Shard: shared.shard,
		Watchdog:           newWatchdog(shared.clock, fairqueue.Busy(o.maxConcurrentReconciles)),
		DefaultEnvironment: environment, WatchNamespaces: o.namespaces(), IgnoreNamespaceLabels: o.ignoreNamespaceLabels,
		AllowedSecretMetadata: o.secretMetadata(),
	}
	if err := tokens.SetupWithManager(ctx, manager, controller.Options{
		MaxConcurrentReconciles: o.maxConcurrentReconciles,
	}); err != nil {
		return nil, err
	}
	return tokens, tokens.SetupExpiryWithManager(manager)
}

func addEnvironments(manager ctrl.Manager, shared parts) (*pipesenvironment.Reconciler, error) {
	environments := &pipesenvironment.Reconciler{
		Client: manager.GetClient(), Connections: shared.connections, Feed: shared.feed,
		Recorder: manager.GetEventRecorder(tokensecret.FieldManager), Clock: shared.clock,
		Ledger: shared.ledger, Metrics: shared.metrics, Shard: shared.shard,
		Watchdog: newWatchdog(shared.clock, 1),
	}
	return environments, environments.SetupWithManager(manager, controller.Options{MaxConcurrentReconciles: 1})
}

// eventPollers is how many requests for events may be under way at the same time. Each
// PipesEnvironment has at most one, and a WorkOS that does not answer holds it for 15 s.
const eventPollers = 4

func addEvents(manager ctrl.Manager, shared parts, tokens *pipestoken.Reconciler) (*pipesevents.Reconciler, error) {
	events := &pipesevents.Reconciler{
		Client: manager.GetClient(), Connections: shared.connections, Feed: shared.feed, Listener: tokens,
		Clock: shared.clock, Metrics: shared.metrics, Watchdog: newWatchdog(shared.clock, eventPollers),
	}
	return events, events.SetupWithManager(manager, controller.Options{MaxConcurrentReconciles: eventPollers})
}

// newConnections returns the connections to WorkOS, which both controllers share.
func newConnections(manager ctrl.Manager, o options, clock clock.PassiveClock) *connection.Registry {
	return &connection.Registry{
		Reader: manager.GetAPIReader(),
		Upstream: workos.New(workos.Options{
			UserAgent: "pipes-operator/" + version,
			Clock:     clock,
			Patience:  time.Second,
		}),
		AllowedHosts:  o.hosts(),
		AllowInsecure: o.allowInsecure,
		Share:         o.upstreamShare,
	}
}

func newWatchdog(monotonic clock.PassiveClock, workers int) *liveness.Watchdog {
	return liveness.NewWatchdog(monotonic, workers, fairqueue.MaxErrorBackoff)
}
