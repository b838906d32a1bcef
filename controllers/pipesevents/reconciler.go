// Package pipesevents follows the events of WorkOS: it asks for them, once in each poll interval of
// a PipesEnvironment, and gives them to the controller of PipesTokens as hints.
package pipesevents

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/connection"
	"github.com/pipes-operator/pipes-operator/internal/eventfeed"
	"github.com/pipes-operator/pipes-operator/internal/liveness"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// Listener gets what the controller finds out.
type Listener interface {
	// Hint gets the events of one answer. replayed: they may be older than this process. It returns
	// which of the events concern a PipesToken that has to ask WorkOS because of them.
	Hint(ctx context.Context, environment *v1alpha1.PipesEnvironment, events []workos.Event, replayed bool) (heeded []bool)
	// EventsLost is called when the events of an environment are no longer followed.
	EventsLost(ctx context.Context, environment *v1alpha1.PipesEnvironment)
}

// Counters counts the requests for events, and the events.
type Counters interface {
	// Polled counts the answer to a request.
	Polled(answer workos.EventsAnswer)
	// Event counts an event that was received, with its age. heeded: it concerns a PipesToken.
	Event(kind workos.EventKind, heeded bool, age time.Duration)
}

// Reconciler follows the events of each PipesEnvironment. It writes nothing: the controller of
// PipesEnvironments reports what the Feed says.
type Reconciler struct {
	// Client reads from caches.
	Client client.Reader
	// Connections provides the WorkOS client of each PipesEnvironment.
	Connections *connection.Registry
	// Feed keeps the place in each list of events.
	Feed *eventfeed.Feed
	// Listener is the controller of PipesTokens.
	Listener Listener
	// Clock tells the time.
	Clock clock.PassiveClock
	// Metrics counts what happens.
	Metrics Counters
	// Watchdog checks that reconciles make progress. Nil: no check.
	Watchdog *liveness.Watchdog
}

// Reconcile makes one request for the events of a PipesEnvironment, and returns the time until the
// next one.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	environment := &v1alpha1.PipesEnvironment{}
	err := r.Client.Get(ctx, request.NamespacedName, environment)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("reading the PipesEnvironment: %w", err)
	}
	if apierrors.IsNotFound(err) || !environment.DeletionTimestamp.IsZero() || !eventfeed.Enabled(environment) {
		r.Feed.Forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	interval := eventfeed.Interval(environment, r.Connections.RequestsPerMinute(environment))
	upstream, version, problem, err := r.Connections.Client(ctx, environment)
	if err != nil {
		return ctrl.Result{}, err
	}
	if problem.Present() {
		r.tell(ctx, environment, r.Feed.Unready(environment, r.Clock.Now()))
		return ctrl.Result{RequeueAfter: interval}, nil
	}
	return r.poll(ctx, environment, connected{upstream, version}, interval)
}

// connected is the client of an environment, and the version of its connection.
type connected struct {
	upstream *workos.Client
	version  uint64
}

func (r *Reconciler) poll(
	ctx context.Context, environment *v1alpha1.PipesEnvironment, by connected, interval time.Duration,
) (ctrl.Result, error) {
	began := r.Clock.Now()
	query := r.Feed.Query(environment, began)
	answer, err := by.upstream.Events(ctx, query)
	if err != nil {
		return ctrl.Result{}, err
	}
	now := r.Clock.Now()
	r.Metrics.Polled(answer)
	r.Connections.Heard(environment, by.version, answer.Answer, now)
	if len(answer.Events) > 0 {
		r.deliver(ctx, environment, answer, query.After == "", now)
	}
	wait, changed := r.Feed.Received(environment, answer, interval, now)
	r.tell(ctx, environment, changed)
	// The interval is from request to request, however long the answer has taken.
	return ctrl.Result{RequeueAfter: max(wait-now.Sub(began), time.Millisecond)}, nil
}

// deliver gives the events of an answer to the listener, and counts them.
func (r *Reconciler) deliver(
	ctx context.Context, environment *v1alpha1.PipesEnvironment, answer workos.EventsAnswer, replayed bool, now time.Time,
) {
	heeded := r.Listener.Hint(ctx, environment, answer.Events, replayed)
	hints := 0
	for i, event := range answer.Events {
		if heeded[i] {
			hints++
		}
		r.Metrics.Event(event.Kind, heeded[i], max(now.Add(answer.ClockSkew).Sub(event.CreatedAt), 0))
	}
	log.FromContext(ctx).V(1).Info("Received events", "events", len(answer.Events), "hints", hints,
		"last", answer.Last, "requestID", answer.RequestID)
}

// tell notifies the other controllers if the events are followed now, and were not before, or the
// other way round.
func (r *Reconciler) tell(ctx context.Context, environment *v1alpha1.PipesEnvironment, changed bool) {
	if !changed {
		return
	}
	if r.Connections.Changed != nil {
		r.Connections.Changed(types.NamespacedName{Namespace: environment.Namespace, Name: environment.Name})
	}
	if problem, _ := r.Feed.Problem(environment); problem.Present() {
		r.Listener.EventsLost(ctx, environment)
	}
}
