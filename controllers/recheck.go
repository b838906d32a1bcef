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

// lookAgainAfterCall brings what the answer is judged by up to date, from caches: a call takes up to
// 15 seconds, and meanwhile the clock, the object, its grant, its template and its environment may
// have changed. The Secret stays as it was observed: the API server refuses the write if it is not
// like that any more, so an answer never replaces one that was asked for later.
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
	done.client = asked // the one that was asked with
	done.secret = tokensecret.Observe(done.secret.Meta, token, done.template)
	obstacle := firstObstacle(done.observation)
	done.superseded = obstacle.present() || token.Spec.Suspend || deleting(token) || asksElsewhere(before, done.environment)
	if !done.superseded {
		return nil
	}
	done.finding = obstacle
	if !obstacle.present() {
		done.finding = done.standing
	}
	if done.answer.Outcome != workos.OutcomeToken {
		done.answer = workos.Answer{} // it counts as not asked for
	}
	return nil
}

// asksElsewhere says whether the PipesEnvironment leads to another WorkOS environment than before.
func asksElsewhere(before, after *v1alpha1.PipesEnvironment) bool {
	return before.UID != after.UID || before.Spec.BaseURL != after.Spec.BaseURL ||
		before.Spec.APIKeySecretRef != after.Spec.APIKeySecretRef
}

// deleting says whether the object waits for its finalizers. No token is fetched for it any more;
// that of a withdrawn grant is still taken away.
func deleting(token *v1alpha1.PipesToken) bool { return !token.DeletionTimestamp.IsZero() }
