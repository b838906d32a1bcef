package controllers

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// report turns an outcome into status, event, metrics and the delay until the next pass. The status is written only when it
// changes. What is unfinished comes back with the queue's own back-off, once it has been reported.
func (r *PipesTokenReconciler) report(ctx context.Context, done outcome) (ctrl.Result, error) {
	name := client.ObjectKeyFromObject(done.token)
	if done.gone {
		r.forget(name)
		return ctrl.Result{}, nil
	}
	status := statusOf(done)
	done.crowd = r.noteWrites(name, done)
	done.attempt = nextAttempt(done, status)
	r.memory.remember(done.token, done.attempt)
	due := nextTry(done)
	if done.tried && r.releasedMeanwhile(done) {
		due = done.now
	}
	r.Metrics.Observe(name, status, Renewal{due, done.skew, done.cycle(), done.environmentName})

	if !sameStatus(status, done.token.Status) {
		err := r.publish(ctx, done.token, status)
		if movedOn(err) {
			// Somebody has changed or deleted the object meanwhile. What was found is remembered.
			return ctrl.Result{RequeueAfter: r.memory.stale(done.token)}, nil
		}
		if err != nil {
			return ctrl.Result{}, fmt.Errorf("writing the status: %w", err)
		}
		r.memory.reported(done.token)
	}
	if done.unfinished != nil {
		return ctrl.Result{}, done.unfinished
	}
	priority := urgency(done)
	return ctrl.Result{RequeueAfter: renewal.Wait(done.now, due, done.expiry(), done.doubt(), done.sparedUntil(done.finding)), Priority: &priority}, nil
}

// publish writes the status, and emits the event that it calls for. token becomes what is stored.
func (r *PipesTokenReconciler) publish(ctx context.Context, token *v1alpha1.PipesToken, status v1alpha1.PipesTokenStatus) error {
	applied := statusConfiguration(token, status)
	if err := r.Client.Status().Apply(ctx, applied, client.ForceOwnership); err != nil {
		return err
	}
	r.announce(token, status)
	token.Status = status
	if stored := applied.ResourceVersion; stored != nil {
		token.ResourceVersion = *stored
	}
	return nil
}

// reportSlowWrite tells of a write that has not ended. It remembers nothing: the write may still succeed.
func (r *PipesTokenReconciler) reportSlowWrite(ctx context.Context, meanwhile outcome) {
	const why = "the API server has not answered for %s: an admission webhook may be slow"
	waited := fmt.Sprintf(why, cmp.Or(r.SlowWrite, patient))
	if meanwhile.withdraws(meanwhile.finding) {
		meanwhile.kept = true
		meanwhile.finding.message += stillThere + waited
	} else {
		meanwhile.finding = finding{v1alpha1.SecretNotWrittenReason, "The operator waits until the Secret is written: " + waited}
	}
	status := statusOf(meanwhile)
	if sameStatus(status, meanwhile.token.Status) {
		return
	}
	if err := r.publish(ctx, meanwhile.token, status); err != nil && !movedOn(err) {
		log.FromContext(ctx).Error(err, "Cannot tell that a write of the Secret is slow")
	}
}

// noteWrites notes whether the API server takes the Secret. If it does so again, it is tried at once
// for those who wait in the same namespace. It returns how many wait there.
func (r *PipesTokenReconciler) noteWrites(name types.NamespacedName, done outcome) (crowd int) {
	switch {
	case done.finding.unwritten():
		return r.unwritten.failed(name)
	case done.taken:
		for _, other := range r.unwritten.worked(name, done.local()) {
			r.requeue.add(reconcile.Request{NamespacedName: other})
		}
	case done.unfinished == nil:
		r.unwritten.forget(name)
	}
	return 0
}

// staleRetry is how soon an object is reconciled again that had changed when its status was written.
// It doubles, up to longestStaleRetry, while the cache does not show the change: its watch may be down.
const (
	staleRetry        = 100 * time.Millisecond
	longestStaleRetry = 30 * time.Second
)

// cycle is how often a token like the one in the Secret is renewed; zero when there is none to renew.
func (done outcome) cycle() time.Duration {
	switch facts := done.secret.Facts; {
	case done.secret.State != tokensecret.Intact, done.token.Spec.Suspend, deleting(done.token), traits[done.finding.reason].withdraws:
		return 0
	case facts.ExpiresAt.IsZero():
		return refreshInterval(done.token)
	default:
		return done.nextDue().Sub(facts.ObtainedAt)
	}
}

// expiry is when the status has to say that the token has expired, whatever comes or fails to come; zero when it never does.
func (done outcome) expiry() time.Time {
	if !done.secret.HoldsValidToken(done.now) {
		return time.Time{}
	}
	return done.secret.Facts.ExpiresAt
}

// doubt is until when a Secret that the cache does not show is believed to be there; zero when it is shown.
func (done outcome) doubt() time.Time {
	if !done.unseen {
		return time.Time{}
	}
	return done.now.Add(trustWritten)
}

// nextAttempt is what to remember of this pass for the next one.
func nextAttempt(done outcome, status v1alpha1.PipesTokenStatus) attempt {
	next := done.attempt
	next.noted, next.client = done.now, done.client
	switch looked := done.finding.reason == v1alpha1.SecretConflictReason && !done.now.Before(next.notBefore); {
	case done.tried || looked:
		next.connected, next.taken, next.heldAt, next.heldSince = connectedCondition(done), looked, 0, done.heldSince()
		if done.answer.Outcome == workos.OutcomeHeld {
			next.heldAt = done.environment.Generation
		}
		if !heldBack(done.observation, done.answer) { // which leaves everything as it was
			next.at, next.found, next.hearsay = done.now, finding{}, false
			if traits[done.finding.reason].asked {
				next.found = done.finding
			}
		}
		next.wasted, next.leftHash = wasted(done), ""
		if done.finding.unwritten() {
			next.leftHash = done.secret.Facts.TokenHash
		}
		next.failures, next.repairs, next.notBefore = afterTry(done, status)
		next.renewNotBefore = nextProbe(done)
		next.intact = done.secret.State == tokensecret.Intact
		next.requestWaits = !done.answer.Sent || done.dropped()
		if done.tried && !next.requestWaits {
			next.request = done.request
		}
	case done.finding.present() && !traits[done.finding.reason].asked && done.finding.reason != v1alpha1.SecretConflictReason:
		// What is seen to stand in the way may be gone the next moment; nothing that was tried before has to be waited for.
		next.found, next.notBefore, next.renewNotBefore, next.intact = finding{}, time.Time{}, time.Time{}, false
	case !done.standing.present() && !done.doubtful():
		next.found = finding{}
	}
	return next
}

// afterTry says how many tries have failed, and how many have repaired the Secret, in a row now, and when the next one may be made.
func afterTry(done outcome, status v1alpha1.PipesTokenStatus) (failures, repairs int, notBefore time.Time) {
	seed, expires := string(done.token.UID), done.secret.Facts.ExpiresAt
	patience := done.now.Add(done.answer.RetryAfter)
	switch pace := traits[done.finding.reason].pace; {
	case heldBack(done.observation, done.answer), done.paced():
		return done.attempt.failures, done.attempt.repairs, patience
	case done.finding.unwritten():
		failures = done.attempt.failures + 1
		return failures, 0, done.now.Add(renewal.WriteRetry(failures, wasted(done), done.crowd, seed))
	case done.dropped() || pace == backOff:
		failures = done.attempt.failures + 1
		return failures, 0, renewal.Retry(done.now, expires, failures, done.answer.RetryAfter, seed)
	case pace == slowPoll:
		since := troubleSince(status.Conditions, done.local())
		if told := trouble(done.token.Status.Conditions); told != nil && told.Reason != done.finding.reason {
			since = done.local() // it may be passing, or somebody may be at work on it
		}
		return 0, 0, latest(done.now.Add(renewal.SlowPoll(done.local(), since)), patience)
	case done.repaired:
		// Whoever did that may do it again and again; each time costs a call.
		repairs = done.attempt.repairs + 1
		return 0, repairs, done.now.Add(max(renewal.MinInterval, renewal.Backoff(repairs, seed)))
	default:
		return 0, 0, time.Time{}
	}
}

// wasted counts the calls in a row whose token could not be written.
func wasted(done outcome) int {
	switch {
	case done.dropped() && done.finding.unwritten():
		return done.attempt.wasted + 1
	case done.finding.unwritten():
		return done.attempt.wasted
	default:
		return 0
	}
}

// nextProbe is when to ask again for the successor of a token whose renewal was due, where WorkOS returned the same one; zero otherwise.
func nextProbe(done outcome) time.Time {
	switch {
	case heldBack(done.observation, done.answer):
		return done.attempt.renewNotBefore
	case done.finding.present(), done.dropped(), done.secret.Facts.ExpiresAt.IsZero(), done.now.Before(done.nextDue()):
		return time.Time{}
	default:
		return renewal.Probe(renewalToken(done.observation), done.now, 0, done.attempt.habit, done.others.Habit)
	}
}

// nextTry is when the next try is due; zero when only a change can bring one.
func nextTry(done outcome) time.Time {
	switch trait := traits[done.finding.reason]; {
	case done.finding.reason == v1alpha1.SecretConflictReason:
		return done.attempt.notBefore
	case done.token.Spec.Suspend, deleting(done.token), done.finding.present() && !trait.asked:
		return time.Time{}
	case done.finding.reason == v1alpha1.EnvironmentNotReadyReason && done.outdated:
		return done.now
	case done.finding.present(), done.refreshRequested(), done.flaw() != "":
		return latest(done.attempt.notBefore, done.now)
	default:
		return latest(done.renewalDue(), done.attempt.notBefore)
	}
}

// announce emits one event when readiness, its reason, or the success of renewal changes; none per rotation or retry.
func (r *PipesTokenReconciler) announce(token *v1alpha1.PipesToken, status v1alpha1.PipesTokenStatus) {
	ready, before := readyOf(status), readyOf(token.Status)
	emit := func(kind, reason, action, note string) {
		// The events API refuses notes of more than 1024 bytes.
		r.Recorder.Eventf(token, nil, kind, reason, action, "%s", strings.ToValidUTF8(note[:min(len(note), 1024)], ""))
	}
	failed := meta.FindStatusCondition(status.Conditions, v1alpha1.RenewalFailedCondition)
	failedBefore := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.RenewalFailedCondition)
	switch {
	case failed != nil && (failedBefore == nil || failedBefore.Reason != failed.Reason):
		emit(corev1.EventTypeWarning, failed.Reason, "RenewToken", failed.Message)
	case failed == nil && failedBefore != nil && ready.Status == metav1.ConditionTrue:
		emit(corev1.EventTypeNormal, ready.Reason, "RenewToken", "Renewal works again")
	case ready.Status == before.Status && ready.Reason == before.Reason:
	case ready.Status == metav1.ConditionTrue:
		emit(corev1.EventTypeNormal, ready.Reason, "SyncToken", ready.Message)
	case ready.Status == metav1.ConditionFalse:
		emit(corev1.EventTypeWarning, ready.Reason, "SyncToken", ready.Message)
	}
}

// readyOf is the Ready condition of a status; the zero condition when there is none.
func readyOf(status v1alpha1.PipesTokenStatus) metav1.Condition {
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ReadyCondition); ready != nil {
		return *ready
	}
	return metav1.Condition{}
}
