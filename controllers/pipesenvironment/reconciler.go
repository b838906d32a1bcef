// Package pipesenvironment keeps the connection of each PipesEnvironment up to date, and reports
// whether the PipesEnvironment can be used.
package pipesenvironment

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	v1alpha1ac "github.com/pipes-operator/pipes-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/connection"
	"github.com/pipes-operator/pipes-operator/internal/eventfeed"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/grants"
	"github.com/pipes-operator/pipes-operator/internal/ledger"
	"github.com/pipes-operator/pipes-operator/internal/liveness"
	"github.com/pipes-operator/pipes-operator/internal/metrics"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
)

// Reconciler keeps the connection of each PipesEnvironment up to date, and
// reports whether the PipesEnvironment can be used.
type Reconciler struct {
	// Client reads from caches and writes status.
	Client client.Client
	// Connections are shared with the controller of PipesTokens.
	Connections *connection.Registry
	// Feed knows whether the events of WorkOS are followed. Nil: nobody follows them.
	Feed *eventfeed.Feed
	// Recorder emits events.
	Recorder events.EventRecorder
	// Clock tells the time, once in each reconcile.
	Clock clock.PassiveClock
	// Ledger knows which renewals are due. It is shared with the controller of PipesTokens.
	Ledger *ledger.Ledger
	// Metrics exports the budget.
	Metrics *metrics.Metrics
	// Watchdog checks that reconciles make progress. Nil: no check.
	Watchdog *liveness.Watchdog
	// Shard determines which statuses this process writes.
	Shard sharding.Shard
}

// Reconcile reconciles one PipesEnvironment. It does not call WorkOS, because no WorkOS call
// shows whether a key is valid without naming a user. A key counts as valid until WorkOS refuses
// it.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	environment := &v1alpha1.PipesEnvironment{}
	err := r.Client.Get(ctx, request.NamespacedName, environment)
	if apierrors.IsNotFound(err) || err == nil && !environment.DeletionTimestamp.IsZero() {
		r.Connections.Forget(request.NamespacedName)
		r.Metrics.ForgetBudget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading the PipesEnvironment: %w", err)
	}
	problem, err := r.Connections.Check(ctx, environment)
	if err != nil {
		return ctrl.Result{}, err
	}
	now := r.Clock.Now()
	told := r.health(environment, now)
	if r.Shard.Has(environment) {
		all := environmentConditions(environment, problem, r.eventsFollowed(environment), told, now)
		if err := r.report(ctx, environment, all); err != nil {
			return ctrl.Result{}, err
		}
	}
	r.Connections.Notify(ctx, environment, problem)
	used, err := r.isUsed(ctx, environment)
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: r.Connections.NextKeyCheck(request.NamespacedName, used)}, nil
}

// environmentConditions returns Ready, Stalled if a person has to act, GrantsValid, EventsFollowed,
// and the conditions for the health.
func environmentConditions(
	environment *v1alpha1.PipesEnvironment, problem finding.Finding, followed *metav1.Condition, told connection.Health,
	now time.Time,
) []metav1.Condition {
	all := []metav1.Condition{conditions.New(v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.AvailableReason,
		"The API key has been read, and WorkOS has not refused it")}
	if problem.Present() {
		all = []metav1.Condition{
			conditions.Of(v1alpha1.ReadyCondition, metav1.ConditionFalse, problem),
			conditions.Of(v1alpha1.StalledCondition, metav1.ConditionTrue, problem),
		}
	}
	all = append(all, grantsValid(environment))
	if followed != nil {
		all = append(all, *followed)
	}
	all = append(all, conditionsOf(told, environment.Status.Conditions)...)
	conditions.Complete(all, environment.Status.Conditions, environment.Generation, now)
	return all
}

func grantsValid(environment *v1alpha1.PipesEnvironment) metav1.Condition {
	if err := grants.Validate(environment); err != nil {
		return conditions.New(v1alpha1.GrantsValidCondition, metav1.ConditionFalse, v1alpha1.InvalidGrantReason,
			conditions.Printable(fmt.Sprintf("A grant does not work, fix it: %v", err)))
	}
	return conditions.New(v1alpha1.GrantsValidCondition, metav1.ConditionTrue, v1alpha1.GrantsReadReason,
		"Every grant can be read")
}

func (r *Reconciler) report(
	ctx context.Context, environment *v1alpha1.PipesEnvironment, told []metav1.Condition,
) error {
	before := environment.Status
	if before.ObservedGeneration == environment.Generation && conditions.Same(told, before.Conditions) {
		return nil
	}
	applied := v1alpha1ac.PipesEnvironment(environment.Name, environment.Namespace).WithUID(environment.UID).
		WithStatus(v1alpha1ac.PipesEnvironmentStatus().
			WithObservedGeneration(environment.Generation).
			WithConditions(conditions.Configurations(told)...))
	if err := r.Client.Status().Apply(ctx, applied, client.ForceOwnership); err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	r.announce(environment, told)
	return nil
}

// announce emits an event when the reason of Ready changes, and when a condition of troubles
// appears, changes its reason or disappears.
func (r *Reconciler) announce(environment *v1alpha1.PipesEnvironment, told []metav1.Condition) {
	emit := func(kind, reason, message string) {
		r.Recorder.Eventf(environment, nil, kind, reason, "CheckEnvironment", "%s", message)
	}
	switch ready := told[0]; {
	case ready.Reason == conditions.Ready(environment.Status.Conditions).Reason:
	case ready.Status == metav1.ConditionTrue:
		emit(corev1.EventTypeNormal, ready.Reason, ready.Message)
	default:
		emit(corev1.EventTypeWarning, ready.Reason, ready.Message)
	}
	r.announceEvents(environment, told)
	for _, kind := range healthConditions {
		before, now := meta.FindStatusCondition(environment.Status.Conditions, kind),
			meta.FindStatusCondition(told, kind)
		switch {
		case now != nil && (before == nil || before.Reason != now.Reason):
			emit(corev1.EventTypeWarning, now.Reason, now.Message)
		case now == nil && before != nil:
			emit(corev1.EventTypeNormal, v1alpha1.AvailableReason, "No longer "+kind)
		}
	}
}

// isUsed reports whether a PipesToken in the caches uses the environment.
func (r *Reconciler) isUsed(ctx context.Context, environment *v1alpha1.PipesEnvironment) (bool, error) {
	tokens := &v1alpha1.PipesTokenList{}
	name := client.ObjectKeyFromObject(environment).String()
	if err := r.Client.List(ctx, tokens, client.MatchingFields{connection.UsersIndex: name}, client.Limit(1),
		client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return false, fmt.Errorf("listing the PipesTokens that use it: %w", err)
	}
	return len(tokens.Items) > 0, nil
}
