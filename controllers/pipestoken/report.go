package pipestoken

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
	"github.com/pipes-operator/pipes-operator/internal/compact"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
)

// report turns an outcome into the status, an event, metrics and the delay until the next
// reconcile. It writes the status only if the status has changed. If the outcome is unfinished,
// report returns that error last, and the queue retries with its own back-off.
func (r *Reconciler) report(ctx context.Context, done outcome) (ctrl.Result, error) {
	token := done.seen.token
	name := client.ObjectKeyFromObject(token)
	if done.gone {
		r.forget(name)
		return ctrl.Result{}, nil
	}
	r.auditRefused(&done)
	status := statusOf(done)
	next := nextAttempt(done, status, r.noteWrites(name, done))
	r.memory.remember(token, next)
	if done.call.answer.Sent {
		r.memory.heeded(name, done.call.hinted)
	}
	due := attemptDue(done, next)
	if done.attempted && r.releasedMeanwhile(done.seen.origin.name, next) {
		due = done.seen.now
	}
	entry := entryOf(status)
	entry.Due, entry.Skew, entry.Every, entry.Environment = due, done.seen.skew, done.cycle(), done.seen.origin.name
	r.Ledger.Record(name, entry)

	if !compact.SameStatus(status, token.Status) {
		err := r.publish(ctx, token, status)
		if movedOn(err) {
			// Somebody has changed or deleted the object. The memory keeps the result of this
			// attempt.
			return ctrl.Result{RequeueAfter: r.memory.stale(token)}, nil
		}
		if err != nil {
			return ctrl.Result{}, fmt.Errorf("writing the status: %w", err)
		}
		r.memory.reported(token)
	}
	if done.unfinished != nil {
		return ctrl.Result{}, done.unfinished
	}
	priority := urgency(done)
	return ctrl.Result{
		RequeueAfter: renewal.Wait(done.seen.now, due, done.expiry(), done.doubt(), done.after().sparedUntil(done.finding)),
		Priority:     &priority,
	}, nil
}

// publish writes the status and emits the event for the change. It updates token to the version
// that the API server has stored.
func (r *Reconciler) publish(
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
func (r *Reconciler) reportSlowWrite(ctx context.Context, meanwhile outcome) {
	const why = "the API server has not answered for %s: an admission webhook may be slow"
	waited := fmt.Sprintf(why, cmp.Or(r.SlowWrite, patient))
	if meanwhile.after().withdraws(meanwhile.finding) {
		meanwhile.finding.Remains = waited
	} else {
		meanwhile.finding = finding.New(v1alpha1.SecretNotWrittenReason,
			"The operator waits until the Secret is written: "+waited)
	}
	status := statusOf(meanwhile)
	if compact.SameStatus(status, meanwhile.seen.token.Status) {
		return
	}
	if err := r.publish(ctx, meanwhile.seen.token, status); err != nil && !movedOn(err) {
		log.FromContext(ctx).Error(err, "Cannot tell that a write of the Secret is slow")
	}
}

// noteWrites records whether the API server accepts the Secret. If the API server accepts it
// again after a failure, noteWrites requeues the other PipesTokens of the namespace that wait
// for that. If this write failed, it returns how many PipesTokens of the namespace wait.
func (r *Reconciler) noteWrites(name types.NamespacedName, done outcome) (crowd int) {
	switch {
	case isUnwritten(done.finding):
		return r.unwritten.failed(name)
	case done.accepted:
		for _, other := range r.unwritten.worked(name, done.seen.local()) {
			r.requeue.Add(reconcile.Request{NamespacedName: other})
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

// announce emits one event if the status or reason of Ready changes, or if renewal begins to
// fail or works again. It emits no event for a rotation or a retry.
func (r *Reconciler) announce(token *v1alpha1.PipesToken, status v1alpha1.PipesTokenStatus) {
	ready, before := conditions.Ready(status.Conditions), conditions.Ready(token.Status.Conditions)
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
