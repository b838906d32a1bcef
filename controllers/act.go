package controllers

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// outcome is the result of a reconcile: the observation, with the Secret as it is now, and the
// finding.
type outcome struct {
	observation
	finding finding
	// tried: this reconcile made an attempt. It asked WorkOS, or an obstacle prevented the call,
	// or it repeated a write that had failed.
	tried bool
	// repaired: the cause of the fetch was that somebody else had altered or deleted the Secret.
	repaired bool
	// answer is the answer of WorkOS; the zero Answer if WorkOS was not asked. outdated: the
	// environment has another API key or base URL by now.
	answer   workos.Answer
	outdated bool
	// request is the refresh request on the object at the time when WorkOS was asked.
	request string
	// superseded: the answer cannot be used, because the object, its grant, its template or its
	// environment changed during the call. The token of the answer is not written.
	superseded bool
	// gone: the object was deleted during the call, therefore its status is not written.
	gone bool
	// kept: a token that must be removed may still be in the Secret.
	kept bool
	// taken: the API server accepted the Secret, or a dry run of the write.
	taken bool
	// crowd is the number of PipesTokens in the namespace that wait until the API server accepts
	// their Secrets.
	crowd int
	// unfinished is the error because of which the Secret is not yet in the desired state. The
	// reconcile is repeated soon.
	unfinished error
}

// dropped reports whether WorkOS returned a token that was not written to the Secret.
func (done outcome) dropped() bool {
	return done.answer.Outcome == workos.OutcomeToken &&
		(done.unfinished != nil || done.finding.unwritten() || done.superseded)
}

// act performs the action that was decided. If it returns an error, nothing can be reported.
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

// fetch asks WorkOS once and acts on the answer. If the last write failed, it first does a dry
// run of the write. It asks WorkOS only if the API server accepts the dry run, because a token
// that cannot be written is wasted.
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

// ask calls WorkOS. If the environment has no usable client, it makes no call and sets the
// finding.
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

// learn learns from the answer how long before expiry WorkOS returns the next token. asked is
// the observation before the call, because the lead is counted from the time of the request.
func (r *PipesTokenReconciler) learn(done *outcome, asked observation, decided decision) {
	// WorkOS returns the expired token again if its clock is behind. The next fetch then has a
	// failed attempt as its cause, but it is a renewal that is due.
	due := decided.cause == renewalIsDue || asked.standing.reason == v1alpha1.TokenExpiredReason
	if due && done.answer.Outcome == workos.OutcomeToken {
		done.attempt.habit, done.others = r.habits.learn(asked, done.answer.Token)
	}
}

// turnOf returns the rank of a call among the calls that wait for the budget of the same API
// key.
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
		// A refresh that somebody requests before the renewal is due has no priority.
		return turn
	}
	// A token without an expiry is not lost while its call waits. Therefore its call goes last.
	turn.Deadline, turn.Idle = seen.secret.Facts.ExpiresAt, turn.Idle || seen.secret.Facts.ExpiresAt.IsZero()
	if !turn.Deadline.IsZero() {
		turn.Deadline = turn.Deadline.Add(-seen.skew)
	}
	return turn
}
