package controllers

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// lookAgainAfterCall updates, from the caches, the data that the answer is judged by. A call
// takes up to 15 seconds, and meanwhile the clock, the object, its grant, its template and its
// environment may have changed. The Secret stays as it was observed, and the API server refuses
// the write if it has changed. Therefore an answer never replaces the token of a later answer.
func (r *PipesTokenReconciler) lookAgainAfterCall(ctx context.Context, done *outcome) error {
	token := &v1alpha1.PipesToken{}
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(done.token), token)
	if apierrors.IsNotFound(err) || err == nil && token.UID != done.token.UID {
		done.gone = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the PipesToken after the call: %w", err)
	}
	before, asked := done.environment, done.client
	done.token = token
	if err := r.lookAtRights(ctx, &done.observation); err != nil {
		return err
	}
	done.attempt = done.attempt.asOf(done.now)
	done.client = asked // the connection that made the call
	done.secret = tokensecret.Observe(done.secret.Meta, token, done.template)
	obstacle := firstObstacle(done.observation)
	done.superseded = obstacle.present() || token.Spec.Suspend || deleting(token) ||
		asksElsewhere(before, done.environment)
	if !done.superseded {
		return nil
	}
	done.finding = obstacle
	if !obstacle.present() {
		done.finding = done.standing
	}
	if done.answer.Outcome != workos.OutcomeToken {
		done.answer = workos.Answer{} // as if WorkOS was not asked
	}
	return nil
}

// asksElsewhere reports whether the PipesEnvironment now leads to another environment of WorkOS.
func asksElsewhere(before, after *v1alpha1.PipesEnvironment) bool {
	return before.UID != after.UID || before.Spec.BaseURL != after.Spec.BaseURL ||
		before.Spec.APIKeySecretRef != after.Spec.APIKeySecretRef
}

// deleting reports whether the object is being deleted and waits for its finalizers. No token is
// fetched for it any more. If its grant is withdrawn, its token is still taken away.
func deleting(token *v1alpha1.PipesToken) bool { return !token.DeletionTimestamp.IsZero() }
