package pipestoken

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/audit"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// withdraw applies inactivePolicy to the Secret. It does not touch a Secret that is not ours, or
// that holds no token. If the token cannot be removed, the finding says so.
func (r *Reconciler) withdraw(ctx context.Context, done *outcome) {
	done.finding.Remains = ""
	r.auditRefused(done)
	if done.seen.token.Spec.InactivePolicy == v1alpha1.InactivePolicyRetain {
		return
	}
	err := r.takeAway(ctx, done)
	switch {
	case err != nil:
		why := words(err, done.mayQuote)
		done.unfinished = errors.New(why) // not err itself, which could quote the token in the log
		done.finding.Remains = why
	case !done.secret.IsOurs() && done.secret.MayHoldToken(done.seen.token):
		done.finding.Remains = fmt.Sprintf(
			"Secret %q does not belong to this PipesToken, so the operator leaves it alone: delete it",
			done.seen.token.TargetSecretName())
	}
}

// mayQuote is quotes for a write that contains no token. A webhook also gets the previous
// Secret. If that Secret was altered, the hash of its token is unknown. Then every text of a
// webhook may quote the token.
func (done *outcome) mayQuote(text string) bool {
	return done.quotes(text) || done.secret.Facts.TokenHash == "" && hasDenial(text)
}

// takeAway removes the token from the Secret. If somebody edits the Secret at the same time,
// takeAway reads it live and clears it again at once. If that conflicts again and again,
// takeAway removes the data even if something else in the Secret has changed.
func (r *Reconciler) takeAway(ctx context.Context, done *outcome) error {
	err := r.lookForHidden(ctx, done)
	const attempts = 3
	for i := 0; err == nil && i < attempts; i++ {
		if err = r.empty(ctx, done); !movedOn(err) {
			return err
		}
		err = r.lookLive(ctx, done)
	}
	if err != nil || !done.mayClear() {
		return err
	}
	patch, err := done.secret.ClearDataPatch(done.seen.token)
	if err != nil {
		return err
	}
	return r.clearWith(ctx, done, patch)
}

// mayClear reports whether the operator may remove a token from the Secret. The Secret must be
// ours, or have been ours until somebody orphaned it.
func (done *outcome) mayClear() bool { return done.secret.IsOurs() || done.wasOrphaned() }

// wasOrphaned reports whether somebody has removed the owner reference of a Secret that this
// PipesToken wrote. A Secret that a deleted PipesToken of the same name has left does not count:
// it belongs to the user.
func (done *outcome) wasOrphaned() bool {
	return done.secret.State == tokensecret.Orphaned && done.seen.token.Status.Binding != nil &&
		done.secret.MayHoldToken(done.seen.token)
}

// lookForHidden reads the Secret live once before the status says that the token is gone. The
// cache does not show a Secret that has lost our label.
func (r *Reconciler) lookForHidden(ctx context.Context, done *outcome) error {
	status := done.seen.token.Status
	told := conditions.Ready(status.Conditions).Reason == done.finding.Reason && status.Binding == nil
	if done.secret.State != tokensecret.Absent || told {
		return nil
	}
	return r.lookLive(ctx, done)
}

// lookLive reads the metadata of the Secret from the API server. It returns an error if WorkOS
// was asked and a Secret of ours is not in the state that was observed: the Secret may hold the
// token of a later answer.
func (r *Reconciler) lookLive(ctx context.Context, done *outcome) error {
	found, err := r.Secrets.Find(ctx, secretName(done.seen.token))
	if err != nil {
		return fmt.Errorf("looking for Secret %s: %w", done.seen.token.TargetSecretName(), err)
	}
	before := done.secret
	done.secret = tokensecret.Observe(found, done.seen.token, done.seen.template)
	if found != nil {
		r.memory.wrote(done.seen.token, found, done.seen.local())
	}
	later := done.secret.IsOurs() && (before.State != tokensecret.Intact || !done.secret.Facts.SameToken(before.Facts))
	if done.attempted && later && done.secret.State != tokensecret.Empty {
		return fmt.Errorf("clearing Secret %s: %w", done.seen.token.TargetSecretName(), errMovedOn)
	}
	return nil
}

// empty clears or deletes the Secret, according to inactivePolicy.
func (r *Reconciler) empty(ctx context.Context, done *outcome) error {
	if done.wasOrphaned() {
		return r.clear(ctx, done)
	}
	if !done.secret.IsOurs() {
		return nil
	}
	remove := done.seen.token.Spec.InactivePolicy == v1alpha1.InactivePolicyDelete
	// A Secret with finalizers remains until they are removed. Therefore it is cleared before it
	// is deleted.
	if done.secret.MayHoldToken(done.seen.token) && (!remove || len(done.secret.Meta.Finalizers) > 0) {
		err := r.clear(ctx, done)
		if err != nil && !apierrors.IsInvalid(err) {
			return err
		}
		// An immutable Secret cannot be cleared. It is deleted, because its token must be
		// removed.
		remove = remove || err != nil
	}
	if !remove {
		return nil
	}
	return r.remove(ctx, done)
}

// errNotCleared: the API server accepted the write, but the Secret still holds data.
var errNotCleared = errors.New("admission puts data back into it: exempt Secrets with the label " +
	v1alpha1.ManagedByLabel + "=" + v1alpha1.ManagedByValue)

func (r *Reconciler) clear(ctx context.Context, done *outcome) error {
	patch, err := done.secret.ClearPatch(done.seen.token)
	if err != nil {
		return err
	}
	return r.clearWith(ctx, done, patch)
}

func (r *Reconciler) clearWith(ctx context.Context, done *outcome, patch []byte) error {
	stored, err := r.slowly(ctx, done, func() (Stored, error) {
		return r.Secrets.Patch(ctx, tokensecret.Cleared(done.seen.token), patch, forReal)
	})
	before := done.secret
	switch {
	case err != nil:
		r.auditUnsure(done, audit.Cleared, "", err)
	case stored.HoldsMore:
		r.wrote(done, stored.Meta)
		err = errNotCleared
	default:
		r.wrote(done, stored.Meta)
		r.auditCleared(done, before)
	}
	if err != nil {
		return fmt.Errorf("clearing Secret %s: %w", done.seen.token.TargetSecretName(), err)
	}
	return nil
}

// errHeld: the Secret can neither be changed nor deleted.
var errHeld = errors.New("it is immutable, and a finalizer keeps it from being deleted")

// remove deletes the Secret. If the Secret is already being deleted and waits for its
// finalizers, remove makes no request.
func (r *Reconciler) remove(ctx context.Context, done *outcome) error {
	left := done.secret.Meta
	if left.DeletionTimestamp == nil {
		var err error
		if left, err = r.Secrets.Delete(ctx, done.secret.Meta); err != nil {
			r.auditUnsure(done, audit.Cleared, "", err)
			return fmt.Errorf("deleting Secret %s: %w", done.seen.token.TargetSecretName(), err)
		}
	}
	if left == nil {
		r.auditCleared(done, done.secret)
		r.memory.secretDeleted(client.ObjectKeyFromObject(done.seen.token), done.secret.Meta.UID)
		done.secret = tokensecret.Secret{State: tokensecret.Absent}
		return nil
	}
	if r.wrote(done, left); done.secret.MayHoldToken(done.seen.token) { // a finalizer keeps the Secret
		return fmt.Errorf("deleting Secret %s: %w", done.seen.token.TargetSecretName(), errHeld)
	}
	return nil
}
