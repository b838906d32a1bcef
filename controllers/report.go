package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// report turns an outcome into status, event, metrics and the delay until the next pass. The status is written only when it
// changes.
func (r *PipesTokenReconciler) report(ctx context.Context, done outcome) (ctrl.Result, error) {
	status := statusOf(done)
	done.attempt = nextAttempt(done, status)
	r.memory.remember(done.token, done.attempt)
	due := nextTry(done)
	r.Metrics.Observe(nameOf(done.token), status, due)

	if !sameStatus(status, done.token.Status) {
		if err := r.Client.Status().Apply(ctx, statusConfiguration(done.token, status), client.ForceOwnership); err != nil {
			return ctrl.Result{}, fmt.Errorf("writing the status: %w", err)
		}
		r.announce(done.token, status)
	}
	wake := due
	if done.secret.HoldsValidToken(done.now) && !done.secret.Facts.ExpiresAt.IsZero() {
		// Whatever comes or fails to come: once the token has expired, the status has to say so.
		wake = soonest(due, done.secret.Facts.ExpiresAt)
	}
	priority := urgency(done)
	return ctrl.Result{RequeueAfter: renewal.Wait(done.now, wake), Priority: &priority}, nil
}

// nextAttempt is what to remember of this pass for the next one.
func nextAttempt(done outcome, status v1alpha1.PipesTokenStatus) attempt {
	last := done.attempt
	switch trait := traits[done.finding.reason]; {
	case done.answer.Outcome == workos.OutcomeHeld:
		last.held, last.notBefore = true, done.now.Add(done.answer.RetryAfter)
		return last
	case done.finding.reason == v1alpha1.SecretConflictReason && (done.tried || !done.now.Before(last.notBefore)):
		return attempt{at: done.now, connection: done.connection, taken: true,
			notBefore: done.now.Add(renewal.SlowPoll(done.now, troubleSince(status.Conditions, done.now)))}
	case done.finding.present() && !trait.asked && done.finding.reason != v1alpha1.SecretConflictReason:
		// What is seen to stand in the way may be gone the next moment; nothing that was tried before has to be waited for.
		return attempt{connection: done.connection, at: last.at, request: last.request}
	case !done.tried:
		return last
	}
	next := attempt{at: done.now, connection: done.connection, request: refreshRequest(done.token)}
	next.failures, next.notBefore = afterTry(done, status)
	return next
}

// afterTry says how many tries have failed in a row now, and when the next one may be made.
func afterTry(done outcome, status v1alpha1.PipesTokenStatus) (failures int, notBefore time.Time) {
	seed, expires := string(done.token.UID), done.secret.Facts.ExpiresAt
	switch traits[done.finding.reason].pace {
	case backOff:
		failures = done.attempt.failures + 1
		return failures, renewal.Retry(done.now, expires, failures, done.answer.RetryAfter, seed)
	case slowPoll:
		poll := done.now.Add(renewal.SlowPoll(done.now, troubleSince(status.Conditions, done.now)))
		return 0, latest(poll, done.now.Add(done.answer.RetryAfter))
	}
	if !expires.IsZero() && !done.now.Before(done.nextDue()) {
		// Renewal was due, and WorkOS returned the token that is there already.
		return 0, renewal.Probe(done.now, expires, 0, seed)
	}
	if done.repaired {
		// Whoever did that may do it again and again; each time costs a call.
		return 0, done.now.Add(renewal.MinInterval)
	}
	return 0, time.Time{}
}

// nextTry is when the next try is due; zero when only a change can bring one.
func nextTry(done outcome) time.Time {
	switch trait := traits[done.finding.reason]; {
	case done.finding.reason == v1alpha1.SecretConflictReason:
		return done.attempt.notBefore
	case done.token.Spec.Suspend, done.finding.present() && !trait.asked:
		return time.Time{}
	case done.finding.present(), !done.secret.HoldsValidToken(done.now):
		return latest(done.attempt.notBefore, done.now)
	default:
		return latest(done.nextDue(), done.attempt.notBefore)
	}
}

// Priorities in the queue. Fresh events have 0 and the initial list −100.
const (
	priorityRenewal  = 100 // a token in use is about to expire
	priorityRecovery = 50  // no token is there, and it may be had any moment
	priorityPoll     = -50 // somebody has to do something first
)

// urgency is the priority of the next pass.
func urgency(done outcome) int {
	switch {
	case done.secret.HoldsValidToken(done.now):
		return priorityRenewal
	case traits[done.finding.reason].pace == backOff || !done.finding.present():
		return priorityRecovery
	default:
		return priorityPoll
	}
}

// announce emits one event when readiness, its reason, or the success of renewal changes; none per rotation or retry.
func (r *PipesTokenReconciler) announce(token *v1alpha1.PipesToken, status v1alpha1.PipesTokenStatus) {
	ready, before := readyOf(status), readyOf(token.Status)
	failed := meta.FindStatusCondition(status.Conditions, v1alpha1.RenewalFailedCondition)
	failedBefore := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.RenewalFailedCondition)
	switch {
	case failed != nil && (failedBefore == nil || failedBefore.Reason != failed.Reason):
		r.Recorder.Eventf(token, nil, corev1.EventTypeWarning, failed.Reason, "RenewToken", "%s", failed.Message)
	case failed == nil && failedBefore != nil && ready.Status == metav1.ConditionTrue:
		r.Recorder.Eventf(token, nil, corev1.EventTypeNormal, ready.Reason, "RenewToken", "%s", "Renewal works again")
	case ready.Status == before.Status && ready.Reason == before.Reason:
	case ready.Status == metav1.ConditionTrue:
		r.Recorder.Eventf(token, nil, corev1.EventTypeNormal, ready.Reason, "SyncToken", "%s", ready.Message)
	case ready.Status == metav1.ConditionFalse:
		r.Recorder.Eventf(token, nil, corev1.EventTypeWarning, ready.Reason, "SyncToken", "%s", ready.Message)
	}
}

// readyOf is the Ready condition of a status; the zero condition when there is none.
func readyOf(status v1alpha1.PipesTokenStatus) metav1.Condition {
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ReadyCondition); ready != nil {
		return *ready
	}
	return metav1.Condition{}
}

// soonest is the earlier of a, if there is one, and b.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
