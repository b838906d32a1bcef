package controllers

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
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
	// answer is what WorkOS said; the zero Answer when it was not asked.
	answer workos.Answer
}

// act does what was decided.
func (r *PipesTokenReconciler) act(ctx context.Context, seen observation, decided decision) (outcome, error) {
	done := outcome{observation: seen, finding: decided.finding}
	switch decided.action {
	case fetch:
		return r.fetch(ctx, seen, decided)
	case withdraw:
		return done, r.withdraw(ctx, &done)
	case relabel:
		return done, r.relabel(ctx, &done)
	default:
		return done, nil
	}
}

// fetch asks WorkOS once and does what the answer calls for.
func (r *PipesTokenReconciler) fetch(ctx context.Context, seen observation, decided decision) (outcome, error) {
	done := outcome{observation: seen, tried: true, repaired: seen.secret.State == tokensecret.Altered ||
		seen.secret.State == tokensecret.Absent && seen.token.Status.Binding != nil}
	upstream, problem, err := r.Connections.client(ctx, seen.environment)
	if err != nil {
		return outcome{}, err
	}
	if problem.present() {
		done.finding = finding{v1alpha1.EnvironmentNotReadyReason, fmt.Sprintf(
			"PipesEnvironment %q in namespace %q is not ready: %s", seen.environment.Name, seen.environment.Namespace, problem.message)}
		return done, nil
	}
	done.connection = r.Connections.versionOf(seen.environmentName)
	done.answer, err = upstream.Token(ctx, workos.Request{
		Slug: seen.token.Spec.Slug, UserID: seen.token.Spec.UserID, OrganizationID: seen.token.Spec.OrganizationID,
	})
	if err != nil {
		return outcome{}, fmt.Errorf("asking WorkOS: %w", err)
	}
	log.FromContext(ctx).V(1).Info("Asked WorkOS", "cause", decided.cause, "outcome", done.answer.Outcome,
		"sent", done.answer.Sent, "requestID", done.answer.RequestID, "message", done.answer.Message)
	r.Metrics.Asked(done.answer, seen.now.Sub(decided.due), !decided.due.IsZero())
	r.Connections.heard(seen.environment, done.answer.Outcome)

	judged := judge(seen, done.answer)
	done.finding = judged.finding
	switch {
	case judged.write:
		err = r.write(ctx, &done, judged.content)
	case traits[judged.finding.reason].withdraws:
		err = r.withdraw(ctx, &done)
	}
	if err != nil {
		// WorkOS has been asked: it is not asked again before a while has passed, however soon this is tried again.
		failures := seen.attempt.failures + 1
		r.memory.remember(seen.token, attempt{
			at: seen.now, failures: failures, connection: done.connection, request: refreshRequest(seen.token),
			notBefore: seen.now.Add(renewal.Backoff(failures, string(seen.token.UID))),
		})
		return outcome{}, err
	}
	return done, nil
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
		return r.written(done, content, meta, err)
	}
	// The name is taken by a Secret that the cache does not show: somebody else's, or ours without our label, or one that
	// another replica has just created.
	found, err := r.Secrets.Find(ctx, secretName(done.token))
	if err != nil {
		return fmt.Errorf("looking whose Secret %s is: %w", done.token.TargetSecretName(), err)
	}
	if secret := tokensecret.Observe(found, done.token, done.template); secret.State == tokensecret.Foreign {
		done.secret, done.finding = secret, conflict(done.token)
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
		r.memory.wrote(done.token, meta, done.now)
		done.secret = tokensecret.Observe(meta, done.token, done.template)
		return nil
	case isRefusal(err):
		done.finding = finding{v1alpha1.SecretRejectedReason,
			"The API server refuses the Secret: " + printable(scrub(err.Error(), done.answer.Token.Value, content))}
		return nil
	default:
		return fmt.Errorf("writing Secret %s: %s", done.token.TargetSecretName(), scrub(err.Error(), done.answer.Token.Value, content))
	}
}

// withdraw applies inactivePolicy to the Secret. It touches nothing that is not ours, and nothing that holds no token.
func (r *PipesTokenReconciler) withdraw(ctx context.Context, done *outcome) error {
	policy := done.token.Spec.InactivePolicy
	if policy == v1alpha1.InactivePolicyRetain {
		return nil
	}
	if done.secret.State == tokensecret.Absent && readyReason(done.token) != done.finding.reason {
		// A Secret that has lost our label is not in the cache. Look once, before saying that the token is gone.
		found, err := r.Secrets.Find(ctx, secretName(done.token))
		if err != nil {
			return fmt.Errorf("looking for Secret %s: %w", done.token.TargetSecretName(), err)
		}
		done.secret = tokensecret.Observe(found, done.token, done.template)
	}
	switch {
	case !done.secret.IsOurs():
		return nil
	case policy == v1alpha1.InactivePolicyDelete:
		return r.remove(ctx, done)
	case done.secret.State == tokensecret.Empty:
		return nil
	}
	patch, err := done.secret.ClearPatch(done.token)
	if err != nil {
		return fmt.Errorf("clearing Secret %s: %w", done.token.TargetSecretName(), err)
	}
	err = r.patchMetadata(ctx, done, patch, "clearing")
	if isRefusal(err) {
		return r.remove(ctx, done) // An immutable Secret cannot be cleared, and its token has to go all the same.
	}
	return err
}

func (r *PipesTokenReconciler) remove(ctx context.Context, done *outcome) error {
	if err := r.Secrets.Delete(ctx, done.secret.Meta); err != nil {
		return fmt.Errorf("deleting Secret %s: %w", done.token.TargetSecretName(), err)
	}
	r.memory.secretDeleted(nameOf(done.token), done.secret.Meta.UID)
	done.secret = tokensecret.Secret{State: tokensecret.Absent}
	return nil
}

func (r *PipesTokenReconciler) relabel(ctx context.Context, done *outcome) error {
	patch, err := done.secret.MetadataPatch(done.token)
	if err != nil || patch == nil {
		return err
	}
	return r.patchMetadata(ctx, done, patch, "relabelling")
}

// patchMetadata sends a patch that brings no token.
func (r *PipesTokenReconciler) patchMetadata(ctx context.Context, done *outcome, patch []byte, doing string) error {
	meta, err := r.Secrets.Patch(ctx, secretName(done.token), patch)
	if err != nil {
		return fmt.Errorf("%s Secret %s: %w", doing, done.token.TargetSecretName(), err)
	}
	r.memory.wrote(done.token, meta, done.now)
	done.secret = tokensecret.Observe(meta, done.token, done.template)
	return nil
}

// isRefusal says whether the API server will refuse the same write again: a quota, an admission policy, an immutable Secret.
func isRefusal(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) ||
		apierrors.IsRequestEntityTooLargeError(err) || apierrors.IsMethodNotSupported(err)
}

// scrub keeps the token out of a message of the API server. Its own never quote a Secret's data, but those of admission webhooks
// are whatever their authors made them.
func scrub(message string, token redact.String, content tokensecret.Content) string {
	quoted := strings.Contains(message, token.Reveal())
	for _, value := range content.Data {
		quoted = quoted || len(value) > 0 && strings.Contains(message, base64.StdEncoding.EncodeToString(value))
	}
	if quoted {
		return "(its message is withheld because it quotes the token)"
	}
	return message
}
