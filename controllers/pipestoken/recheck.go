package pipestoken

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// observeAfterCall replaces the observation by a later one, which the answer is judged by. A call
// takes up to 15 seconds, and meanwhile the clock, the object, its grant, its template and its
// environment may have changed. The Secret stays as it was observed, and the API server refuses
// the write if it has changed. Therefore an answer never replaces the token of a later answer.
func (r *Reconciler) observeAfterCall(ctx context.Context, done *outcome, decided decision) error {
	before, token := done.seen, &v1alpha1.PipesToken{}
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(before.token), token)
	if apierrors.IsNotFound(err) || err == nil && token.UID != before.token.UID {
		done.gone = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the PipesToken after the call: %w", err)
	}
	seen := before
	seen.token = token
	if err := r.observeRights(ctx, &seen); err != nil {
		return err
	}
	seen.last.schedule = seen.last.schedule.asOf(seen.now)
	done.secret = tokensecret.Observe(done.secret.Meta, token, seen.template)
	done.seen = seen
	obstacle := firstObstacle(done.after())
	done.call.superseded = obstacle.Present() || token.Spec.Suspend || deleting(token) ||
		asksElsewhere(before.origin.environment, seen.origin.environment)
	if !done.call.superseded {
		done.seen.last.lead, done.seen.slug = r.learn(before, done.call.answer, decided)
		return nil
	}
	done.finding = obstacle
	if !obstacle.Present() {
		done.finding = seen.standing
	}
	if done.call.answer.Outcome != workos.OutcomeToken {
		done.call.answer = workos.Answer{} // as if WorkOS was not asked
	}
	return nil
}

// learn learns from the answer how long before expiry WorkOS returns the next token. The lead is
// counted from the time of the request, therefore asked is the observation before the call.
func (r *Reconciler) learn(
	asked observation, answer workos.Answer, decided decision,
) (renewal.Estimate, slugLead) {
	// WorkOS returns the expired token again if its clock is behind. The next fetch then has a
	// failed attempt as its cause, but it is a renewal that is due.
	due := decided.cause == renewalIsDue || asked.standing.Reason == v1alpha1.TokenExpiredReason
	if due && answer.Outcome == workos.OutcomeToken {
		return r.leads.learn(asked, answer.Token)
	}
	return asked.last.lead, asked.slug
}

// asksElsewhere reports whether the PipesEnvironment now leads to another environment of WorkOS.
func asksElsewhere(before, after *v1alpha1.PipesEnvironment) bool {
	return before.UID != after.UID || before.Spec.BaseURL != after.Spec.BaseURL ||
		before.Spec.APIKeySecretRef != after.Spec.APIKeySecretRef
}

// deleting reports whether the object is being deleted and waits for its finalizers. No token is
// fetched for it any more. If its grant is withdrawn, its token is still taken away.
func deleting(token *v1alpha1.PipesToken) bool { return !token.DeletionTimestamp.IsZero() }
