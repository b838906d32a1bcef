package controllers

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// outcome is what a pass came to: what was observed, with the Secret as it is now, and what is wrong.
type outcome struct {
	observation
	finding finding
	// tried: WorkOS was asked in this pass, or would have been, had its environment let us.
	tried bool
	// repaired: it was asked because somebody else had altered or deleted the Secret.
	repaired bool
	// answer is what WorkOS said; the zero Answer when it was not asked. outdated: there is another API key or base URL by now.
	answer   workos.Answer
	outdated bool
	// unfinished is why the Secret is not yet as it should be, and has to be tried again soon.
	unfinished error
}

// dropped says whether the answer brought a token that could not be written.
func (done outcome) dropped() bool {
	return done.answer.Outcome == workos.OutcomeToken && done.unfinished != nil
}

// act does what was decided. Its own errors are those after which there is nothing to report.
func (r *PipesTokenReconciler) act(ctx context.Context, seen observation, decided decision) (outcome, error) {
	done := outcome{observation: seen, finding: decided.finding}
	switch decided.action {
	case fetch:
		return r.fetch(ctx, seen, decided)
	case withdraw:
		r.withdraw(ctx, &done)
	case relabel:
		r.relabel(ctx, &done)
	case wait:
	}
	return done, nil
}

// fetch asks WorkOS once and does what the answer calls for.
func (r *PipesTokenReconciler) fetch(ctx context.Context, seen observation, decided decision) (outcome, error) {
	done := outcome{observation: seen, tried: true, repaired: seen.secret.State != tokensecret.Intact && seen.attempt.intact}
	upstream, version, problem, err := r.Connections.client(ctx, seen.environment)
	if err != nil {
		return outcome{}, err
	}
	done.client = version
	if problem.present() {
		done.finding = finding{v1alpha1.EnvironmentNotReadyReason, fmt.Sprintf(
			"PipesEnvironment %q in namespace %q is not ready: %s", seen.environment.Name, seen.environment.Namespace, problem.message)}
		return done, nil
	}
	done.answer, err = upstream.Token(ctx, workos.Request{
		Slug: seen.token.Spec.Slug, UserID: seen.token.Spec.UserID, OrganizationID: seen.token.Spec.OrganizationID,
	}, turnOf(seen))
	if err != nil {
		return outcome{}, fmt.Errorf("asking WorkOS: %w", err)
	}
	log.FromContext(ctx).V(1).Info("Asked WorkOS", "cause", decided.cause, "outcome", done.answer.Outcome,
		"sent", done.answer.Sent, "requestID", done.answer.RequestID, "message", done.answer.Message)
	r.Metrics.Asked(done.answer, seen.now.Sub(decided.due), !decided.due.IsZero())
	done.outdated = !r.Connections.heard(seen.environment, version, done.answer)

	// A clock of WorkOS that is behind has it return the expired token once more, before there is another.
	due := decided.cause == renewalIsDue || seen.standing.reason == v1alpha1.TokenExpiredReason
	if due && done.answer.Outcome == workos.OutcomeToken {
		done.attempt.habit, done.others = r.habits.learn(seen, done.answer.Token)
	}
	judged := judge(done.observation, done.answer)
	done.finding = judged.finding
	switch {
	case judged.write:
		if done.unfinished = r.write(ctx, &done, judged.content); done.unfinished != nil {
			done.finding = seen.standing
		}
	case traits[judged.finding.reason].withdraws:
		r.withdraw(ctx, &done)
	}
	return done, nil
}

// turnOf says how a call stands against others while the budget of the API key is short.
func turnOf(seen observation) workos.Turn {
	turn := workos.Turn{Share: seen.token.Namespace, Idle: traits[seen.standing.reason].pace == slowPoll}
	if seen.secret.HoldsValidToken(seen.now) {
		// A token without an expiry is only looked at.
		turn.Deadline, turn.Idle = seen.secret.Facts.ExpiresAt, turn.Idle || seen.secret.Facts.ExpiresAt.IsZero()
	}
	return turn
}

// errMovedOn: the Secret is not as it was observed. The answer is dropped, because the Secret may hold a later one already.
var errMovedOn = errors.New("the Secret has changed meanwhile")

// write puts the token into the Secret, in one request that the API server refuses if the Secret is not as it was observed.
func (r *PipesTokenReconciler) write(ctx context.Context, done *outcome, content tokensecret.Content) error {
	if done.secret.State != tokensecret.Absent {
		return r.overwrite(ctx, done, content)
	}
	meta, err := r.Secrets.Create(ctx, tokensecret.New(done.token, content))
	if !apierrors.IsAlreadyExists(err) {
		done.unseen = err == nil
		return r.written(done, content, meta, err)
	}
	// The name is taken by a Secret that the cache does not show: somebody else's, or ours without our label, or one that
	// another replica has just created.
	found, err := r.Secrets.Find(ctx, secretName(done.token))
	if err != nil {
		return fmt.Errorf("looking whose Secret %s is: %w", done.token.TargetSecretName(), err)
	}
	if done.secret = tokensecret.Observe(found, done.token, done.template); done.secret.State == tokensecret.Foreign {
		done.finding = conflict(done.token)
		return nil
	}
	r.memory.wrote(done.token, found, done.now)
	return fmt.Errorf("creating Secret %s: %w", done.token.TargetSecretName(), errMovedOn)
}

func (r *PipesTokenReconciler) overwrite(ctx context.Context, done *outcome, content tokensecret.Content) error {
	patch, err := done.secret.WritePatch(done.token, content)
	if err != nil {
		return err
	}
	meta, err := r.Secrets.Patch(ctx, secretName(done.token), patch)
	return r.written(done, content, meta, err)
}

// written takes note of a write of the token, or of why there was none.
func (r *PipesTokenReconciler) written(done *outcome, content tokensecret.Content, meta *metav1.PartialObjectMetadata, err error) error {
	switch {
	case err == nil:
		r.wrote(done, meta)
		return nil
	case isRefusal(err):
		done.finding = finding{v1alpha1.SecretRejectedReason,
			"The API server refuses the Secret: " + printable(scrub(err.Error(), done.answer.Token.Value, content))}
		return nil
	default:
		return fmt.Errorf("writing Secret %s: %s", done.token.TargetSecretName(), scrub(err.Error(), done.answer.Token.Value, content))
	}
}

// wrote takes note of how a write has left the Secret.
func (r *PipesTokenReconciler) wrote(done *outcome, meta *metav1.PartialObjectMetadata) {
	r.memory.wrote(done.token, meta, done.now)
	done.secret = tokensecret.Observe(meta, done.token, done.template)
}

// stillThere comes before why a token that has to go could not be taken out of the Secret.
const stillThere = ". The token is still in the Secret, because the API server refuses to take it out: "

// withdraw applies inactivePolicy to the Secret. It touches nothing that is not ours, and nothing that holds no token. Where the
// API server refuses it, the finding says so.
func (r *PipesTokenReconciler) withdraw(ctx context.Context, done *outcome) {
	done.finding.message, _, _ = strings.Cut(done.finding.message, stillThere)
	if done.token.Spec.InactivePolicy == v1alpha1.InactivePolicyRetain {
		return
	}
	if done.unfinished = r.takeAway(ctx, done); isRefusal(done.unfinished) {
		done.finding.message += stillThere + printable(done.unfinished.Error())
	}
}

func (r *PipesTokenReconciler) takeAway(ctx context.Context, done *outcome) error {
	if done.secret.State == tokensecret.Absent && readyOf(done.token.Status).Reason != done.finding.reason {
		// A Secret that has lost our label is not in the cache. Look once, before saying that the token is gone.
		found, err := r.Secrets.Find(ctx, secretName(done.token))
		if err != nil {
			return fmt.Errorf("looking for Secret %s: %w", done.token.TargetSecretName(), err)
		}
		done.secret = tokensecret.Observe(found, done.token, done.template)
		if done.tried && done.secret.IsOurs() {
			r.memory.wrote(done.token, found, done.now)
			return fmt.Errorf("clearing Secret %s: %w", done.token.TargetSecretName(), errMovedOn)
		}
	}
	if !done.secret.IsOurs() {
		return nil
	}
	remove := done.token.Spec.InactivePolicy == v1alpha1.InactivePolicyDelete
	// A Secret with finalizers stays until they are gone, and so it is cleared before it is deleted.
	if done.secret.State != tokensecret.Empty && (!remove || len(done.secret.Meta.Finalizers) > 0) {
		err := r.clear(ctx, done)
		if err != nil && !apierrors.IsInvalid(err) {
			return err
		}
		remove = remove || err != nil // An immutable Secret cannot be cleared, and its token has to go all the same.
	}
	if !remove {
		return nil
	}
	return r.remove(ctx, done)
}

func (r *PipesTokenReconciler) clear(ctx context.Context, done *outcome) error {
	patch, err := done.secret.ClearPatch(done.token)
	if err == nil {
		err = r.patch(ctx, done, patch)
	}
	if err != nil {
		return fmt.Errorf("clearing Secret %s: %w", done.token.TargetSecretName(), err)
	}
	return nil
}

// errHeld: a Secret that can neither be changed nor be deleted.
var errHeld = errors.New("it is immutable, and a finalizer keeps it from being deleted")

// remove deletes the Secret, unless it only waits for its finalizers.
func (r *PipesTokenReconciler) remove(ctx context.Context, done *outcome) error {
	left := done.secret.Meta
	if left.DeletionTimestamp == nil {
		var err error
		if left, err = r.Secrets.Delete(ctx, done.secret.Meta); err != nil {
			return fmt.Errorf("deleting Secret %s: %w", done.token.TargetSecretName(), err)
		}
	}
	if left == nil {
		r.memory.secretDeleted(client.ObjectKeyFromObject(done.token), done.secret.Meta.UID)
		done.secret = tokensecret.Secret{State: tokensecret.Absent}
		return nil
	}
	if r.wrote(done, left); done.secret.State != tokensecret.Empty {
		return fmt.Errorf("deleting Secret %s: %w", done.token.TargetSecretName(), errHeld)
	}
	return nil
}

// relabel brings labels and annotations up to date. That they are not does not keep the token from being renewed.
func (r *PipesTokenReconciler) relabel(ctx context.Context, done *outcome) {
	patch, err := done.secret.MetadataPatch(done.token)
	if err == nil && patch != nil {
		err = r.patch(ctx, done, patch)
	}
	if err != nil {
		done.unfinished = fmt.Errorf("relabelling Secret %s: %w", done.token.TargetSecretName(), err)
	}
}

// patch sends a patch that brings no token.
func (r *PipesTokenReconciler) patch(ctx context.Context, done *outcome, patch []byte) error {
	meta, err := r.Secrets.Patch(ctx, secretName(done.token), patch)
	if err != nil {
		return err
	}
	r.wrote(done, meta)
	return nil
}

// isRefusal says whether the API server will refuse the same write again: a quota, an admission policy, an immutable Secret.
func isRefusal(err error) bool {
	return errors.Is(err, errHeld) || apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) ||
		apierrors.IsRequestEntityTooLargeError(err) || apierrors.IsMethodNotSupported(err)
}

// scrub keeps the token out of a message of the API server. Its own never quote a Secret's data, and what admission plugins add
// has been cut off; this is for what nobody has thought of.
func scrub(message string, token redact.String, content tokensecret.Content) string {
	quoted := strings.Contains(message, token.Reveal())
	for _, value := range content.Data {
		quoted = quoted || len(value) > 0 && (strings.Contains(message, string(value)) || strings.Contains(message, base64.StdEncoding.EncodeToString(value)))
	}
	if quoted {
		return "(its message is withheld because it quotes the Secret)"
	}
	return message
}
