package controllers

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// outcome is what a reconcile came to: what was observed, with the Secret as it is now, and what is wrong.
type outcome struct {
	observation
	finding finding
	// tried: WorkOS was asked, or would have been, had nothing stood in the way.
	tried bool
	// repaired: it was asked because somebody else had altered or deleted the Secret.
	repaired bool
	// answer is what WorkOS said; the zero Answer when it was not asked. outdated: there is another API key or base URL by now.
	answer   workos.Answer
	outdated bool
	// request is the refresh request that stood on the object when WorkOS was asked.
	request string
	// superseded: what the answer has to be judged by changed during the call, so its token is not written.
	superseded bool
	// gone: the object was deleted during the call. There is nothing left to report.
	gone bool
	// kept: a token that has to go may still be in the Secret.
	kept bool
	// taken: the API server took the Secret, or a rehearsal of it.
	taken bool
	// crowd is how many PipesTokens of the namespace wait until the API server takes their Secrets.
	crowd int
	// unfinished is why the Secret is not yet as it should be, and has to be tried again soon.
	unfinished error
}

// dropped says whether the answer brought a token that is not in the Secret.
func (done outcome) dropped() bool {
	return done.answer.Outcome == workos.OutcomeToken && (done.unfinished != nil || done.finding.unwritten() || done.superseded)
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

// fetch asks WorkOS once and does what the answer calls for. After a write that failed it first finds
// out whether the API server takes the Secret again, so that no token is fetched without need.
func (r *PipesTokenReconciler) fetch(ctx context.Context, seen observation, decided decision) (outcome, error) {
	done := outcome{
		observation: seen, tried: true, request: refreshRequest(seen.token),
		repaired: seen.secret.State != tokensecret.Intact && seen.attempt.intact,
	}
	if seen.standing.unwritten() && !r.rehearse(ctx, &done) {
		return done, nil
	}
	if err := r.ask(ctx, &done, decided); err != nil {
		return outcome{}, err
	}
	if done.finding.present() {
		return done, nil
	}
	asked := done.observation
	if err := r.lookAgainAfterCall(ctx, &done); err != nil {
		return outcome{}, err
	}
	if done.gone || done.superseded {
		if done.withdraws(done.finding) {
			r.withdraw(ctx, &done)
		}
		return done, nil
	}
	r.learn(&done, asked, decided)
	judged := judge(done.observation, done.answer)
	done.finding = judged.finding
	switch {
	case judged.write:
		if r.mayOverwrite(ctx, &done, seen) {
			r.write(ctx, &done, judged.content)
		}
	case done.withdraws(judged.finding):
		r.withdraw(ctx, &done)
	}
	return done, nil
}

// ask makes the call. A finding says that there was nobody to ask.
func (r *PipesTokenReconciler) ask(ctx context.Context, done *outcome, decided decision) error {
	environment := done.environment
	upstream, version, problem, err := r.Connections.client(ctx, environment)
	if err != nil {
		return err
	}
	done.client = version
	if problem.present() {
		done.finding = finding{reason: v1alpha1.EnvironmentNotReadyReason, message: fmt.Sprintf(
			"PipesEnvironment %q in namespace %q is not ready: %s", environment.Name, environment.Namespace, problem.message)}
		return nil
	}
	done.answer, err = upstream.Token(ctx, workos.Request{
		Slug: done.token.Spec.Slug, UserID: done.token.Spec.UserID, OrganizationID: done.token.Spec.OrganizationID,
	}, turnOf(done.observation))
	if err != nil {
		return fmt.Errorf("asking WorkOS: %w", err)
	}
	log.FromContext(ctx).V(1).Info("Asked WorkOS", "cause", decided.cause, "outcome", done.answer.Outcome,
		"sent", done.answer.Sent, "requestID", done.answer.RequestID, "message", done.answer.Message)
	r.Metrics.Asked(done.answer, done.now.Sub(decided.due), !decided.due.IsZero())
	done.outdated = !r.Connections.heard(environment, version, done.answer, r.Clock.Now())
	return nil
}

// learn takes from the answer how early WorkOS returns the next token. The observation is that from
// before the call: the lead is counted from when the renewal was asked for.
func (r *PipesTokenReconciler) learn(done *outcome, asked observation, decided decision) {
	// WorkOS returns the expired token once more when its clock is behind.
	due := decided.cause == renewalIsDue || asked.standing.reason == v1alpha1.TokenExpiredReason
	if due && done.answer.Outcome == workos.OutcomeToken {
		done.attempt.habit, done.others = r.habits.learn(asked, done.answer.Token)
	}
}

// turnOf says how a call stands against others while the budget of the API key is short.
func turnOf(seen observation) workos.Turn {
	turn := workos.Turn{
		Share: seen.token.Namespace, Asker: string(seen.token.UID), Refresh: seen.refreshRequested(),
		Idle: traits[seen.standing.reason].pace == slowPoll,
	}
	if seen.secret.State != tokensecret.Intact {
		return turn
	}
	turn.Proven, turn.Expired = true, !seen.secret.HoldsValidToken(seen.now)
	if turn.Expired || seen.now.Before(seen.nextDue()) {
		return turn // A refresh that somebody asks for before the renewal is due goes ahead of nobody.
	}
	// A token without an expiry is lost to nobody who waits.
	turn.Deadline, turn.Idle = seen.secret.Facts.ExpiresAt, turn.Idle || seen.secret.Facts.ExpiresAt.IsZero()
	if !turn.Deadline.IsZero() {
		turn.Deadline = turn.Deadline.Add(-seen.skew)
	}
	return turn
}
