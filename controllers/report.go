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

// report turns an outcome into the status, an event, metrics and the delay until the next
// reconcile. It writes the status only if the status has changed. If the outcome is unfinished,
// report returns that error last, and the queue retries with its own back-off.
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
			// Somebody has changed or deleted the object. The memory keeps the result of this
			// attempt.
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
	return ctrl.Result{
		RequeueAfter: renewal.Wait(done.now, due, done.expiry(), done.doubt(), done.sparedUntil(done.finding)),
		Priority:     &priority,
	}, nil
}

// publish writes the status and emits the event for the change. It updates token to the version
// that the API server has stored.
func (r *PipesTokenReconciler) publish(
	ctx context.Context, token *v1alpha1.PipesToken, status v1alpha1.PipesTokenStatus,
) error {
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

// reportSlowWrite says in the status that a write of the Secret has not ended yet. It does not
// change the memory, because the write may still succeed.
func (r *PipesTokenReconciler) reportSlowWrite(ctx context.Context, meanwhile outcome) {
	const why = "the API server has not answered for %s: an admission webhook may be slow"
	waited := fmt.Sprintf(why, cmp.Or(r.SlowWrite, patient))
	if meanwhile.withdraws(meanwhile.finding) {
		meanwhile.kept = true
		meanwhile.finding.message += stillThere + waited
	} else {
		meanwhile.finding = finding{v1alpha1.SecretNotWrittenReason,
			"The operator waits until the Secret is written: " + waited}
	}
	status := statusOf(meanwhile)
	if sameStatus(status, meanwhile.token.Status) {
		return
	}
	if err := r.publish(ctx, meanwhile.token, status); err != nil && !movedOn(err) {
		log.FromContext(ctx).Error(err, "Cannot tell that a write of the Secret is slow")
	}
}

// noteWrites records whether the API server accepts the Secret. If the API server accepts it
// again after a failure, noteWrites requeues the other PipesTokens of the namespace that wait
// for that. If this write failed, it returns how many PipesTokens of the namespace wait.
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

// staleRetry is the delay before the next reconcile if the object had changed when its status
// was written. The delay doubles, up to longestStaleRetry, while the cache does not show the
// change: the watch of the cache may be broken.
const (
	staleRetry        = 100 * time.Millisecond
	longestStaleRetry = 30 * time.Second
)

// cycle returns the time between two renewals of a token like the token in the Secret. Zero: no
// token is renewed.
func (done outcome) cycle() time.Duration {
	switch facts := done.secret.Facts; {
	case done.secret.State != tokensecret.Intact, done.token.Spec.Suspend, deleting(done.token),
		traits[done.finding.reason].withdraws:
		return 0
	case facts.ExpiresAt.IsZero():
		return refreshInterval(done.token)
	default:
		return done.nextDue().Sub(facts.ObtainedAt)
	}
}

// expiry returns when the status has to report that the token has expired, even if every
// reconcile until then fails. Zero: it never expires, or the Secret holds no valid token.
func (done outcome) expiry() time.Time {
	if !done.secret.HoldsValidToken(done.now) {
		return time.Time{}
	}
	return done.secret.Facts.ExpiresAt
}

// doubt returns until when a Secret that the cache does not show is assumed to exist. Zero: the
// cache shows the Secret.
func (done outcome) doubt() time.Time {
	if !done.unseen {
		return time.Time{}
	}
	return done.now.Add(trustWritten)
}

// nextAttempt returns the data of this reconcile that the next reconcile needs.
func nextAttempt(done outcome, status v1alpha1.PipesTokenStatus) attempt {
	next := done.attempt
	next.noted, next.client = done.now, done.client
	switch looked := done.finding.reason == v1alpha1.SecretConflictReason && !done.now.Before(next.notBefore); {
	case done.tried || looked:
		next.taken = looked
		next.attempted(done, status)
	case done.finding.present() && !traits[done.finding.reason].asked &&
		done.finding.reason != v1alpha1.SecretConflictReason:
		// An obstacle may disappear at any moment. The next attempt must not wait because of
		// earlier attempts.
		next.found, next.notBefore, next.renewNotBefore, next.intact = finding{}, time.Time{}, time.Time{}, false
	case !done.standing.present() && !done.doubtful():
		next.found = finding{}
	}
	return next
}

// attempted notes the result of an attempt.
func (a *attempt) attempted(done outcome, status v1alpha1.PipesTokenStatus) {
	a.connected, a.heldAt, a.heldSince = connectedCondition(done), 0, done.heldSince()
	if done.answer.Outcome == workos.OutcomeHeld {
		a.heldAt = done.environment.Generation
	}
	if !heldBack(done.observation, done.answer) { // a call that was held back changes nothing
		a.at, a.found, a.fromStatus = done.now, finding{}, false
		if traits[done.finding.reason].asked {
			a.found = done.finding
		}
	}
	a.wasted, a.leftHash = wasted(done), ""
	if done.finding.unwritten() {
		a.leftHash = done.secret.Facts.TokenHash
	}
	a.failures, a.repairs, a.notBefore = afterTry(done, status)
	a.renewNotBefore = nextProbe(done)
	a.intact = done.secret.State == tokensecret.Intact
	a.requestWaits = !done.answer.Sent || done.dropped()
	if done.tried && !a.requestWaits {
		a.request = done.request
	}
}

// afterTry returns how many attempts in a row have failed, how many attempts in a row have
// repaired the Secret, and when the next attempt may be made.
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
			since = done.local() // the problem may be temporary, or somebody may be fixing it
		}
		return 0, 0, latest(done.now.Add(renewal.SlowPoll(done.local(), since)), patience)
	case done.repaired:
		// Somebody else may damage the Secret again and again, and each repair costs a call.
		repairs = done.attempt.repairs + 1
		return 0, repairs, done.now.Add(max(renewal.MinInterval, renewal.Backoff(repairs, seed)))
	default:
		return 0, 0, time.Time{}
	}
}

// wasted returns the number of calls in a row whose token could not be written.
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

// nextProbe returns when to ask again for the next token, if a renewal was due and WorkOS
// returned the same token. Zero: no probe is needed.
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

// nextTry returns when the next attempt is due. Zero: only a change causes another attempt.
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

// announce emits one event if the status or reason of Ready changes, or if renewal begins to
// fail or works again. It emits no event for a rotation or a retry.
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

// readyOf returns the Ready condition of a status; the zero condition if the status has none.
func readyOf(status v1alpha1.PipesTokenStatus) metav1.Condition {
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ReadyCondition); ready != nil {
		return *ready
	}
	return metav1.Condition{}
}
