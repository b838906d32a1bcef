package pipestoken

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/refresh"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// outcome is what a reconcile has done. The observation stays as it was; what a write has changed
// is beside it.
type outcome struct {
	// seen is the observation that the action was decided on or, after a call, the observation
	// that the answer was judged by.
	seen    observation
	finding finding.Finding
	// attempted: this reconcile made an attempt. It asked WorkOS, or an obstacle prevented the
	// call, or it repeated a write that had failed.
	attempted bool
	// repaired: the cause of the fetch was that somebody else had altered or deleted the Secret.
	repaired bool
	// call is the call to WorkOS. The zero call: none was made.
	call call
	// secret is the Secret as it is now. unseen: the cache does not show it yet.
	secret tokensecret.Secret
	unseen bool
	// accepted: the API server accepted the Secret, or a dry run of the write.
	accepted bool
	// gone: the object was deleted during the call, therefore its status is not written.
	gone bool
	// unfinished is the error because of which the Secret is not yet in the desired state. The
	// reconcile is repeated soon.
	unfinished error
}

// call is a call to WorkOS.
type call struct {
	answer workos.Answer
	// connection is the version of the connection that made the call. outdated: the environment
	// has another API key or base URL by now.
	connection uint64
	outdated   bool
	// request is the refresh request on the object at the time of the call.
	request string
	// hinted is the event that was pending at the time of the call.
	hinted time.Time
	// superseded: the answer cannot be used, because the object, its grant, its template or its
	// environment changed during the call. The token of the answer is not written.
	superseded bool
}

// outcomeOf returns the outcome of a reconcile that has done nothing.
func outcomeOf(seen observation, found finding.Finding) outcome {
	return outcome{seen: seen, finding: found, secret: seen.secret, unseen: seen.unseen}
}

// after returns the observation as it would be made now, with the Secret as the write has left it.
func (done outcome) after() observation {
	after := done.seen
	after.secret, after.unseen = done.secret, done.unseen
	return after
}

// dropped reports whether WorkOS returned a token that was not written to the Secret.
func (done outcome) dropped() bool {
	return done.call.answer.Outcome == workos.OutcomeToken &&
		(done.unfinished != nil || isUnwritten(done.finding) || done.call.superseded)
}

// connection returns the version of the connection that the attempt depended on.
func (done outcome) connection() uint64 {
	return cmp.Or(done.call.connection, done.seen.origin.connection)
}

// act performs the action that was decided. If it returns an error, nothing can be reported.
func (r *Reconciler) act(ctx context.Context, seen observation, decided decision) (outcome, error) {
	done := outcomeOf(seen, decided.finding)
	switch decided.action {
	case fetch:
		return r.fetch(ctx, done, decided)
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
func (r *Reconciler) fetch(ctx context.Context, done outcome, decided decision) (outcome, error) {
	before := done.seen
	done.attempted, done.repaired = true, before.secret.State != tokensecret.Intact && before.last.left.intact
	done.call.request, done.call.hinted = refresh.Request(before.token), before.hinted
	if isUnwritten(before.standing) && !r.rehearse(ctx, &done) {
		return done, nil
	}
	if err := r.ask(ctx, &done, decided); err != nil {
		return outcome{}, err
	}
	if done.finding.Present() {
		return done, nil
	}
	if err := r.observeAfterCall(ctx, &done, decided); err != nil {
		return outcome{}, err
	}
	if done.gone || done.call.superseded {
		if done.after().withdraws(done.finding) {
			r.withdraw(ctx, &done)
		}
		return done, nil
	}
	judged := judge(done.after(), done.call.answer)
	done.finding = judged.finding
	switch {
	case judged.write:
		if r.mayOverwrite(ctx, &done, before) {
			r.write(ctx, &done, judged.content)
		}
	case done.after().withdraws(judged.finding):
		r.withdraw(ctx, &done)
	}
	return done, nil
}

// ask calls WorkOS. If the environment has no usable client, it makes no call and sets the
// finding.
func (r *Reconciler) ask(ctx context.Context, done *outcome, decided decision) error {
	environment, spec := done.seen.origin.environment, done.seen.token.Spec
	upstream, version, problem, err := r.Connections.Client(ctx, environment)
	if err != nil {
		return err
	}
	done.call.connection = version
	if problem.Present() {
		done.finding = finding.Newf(v1alpha1.EnvironmentNotReadyReason,
			"PipesEnvironment %q in namespace %q is not ready: %s", environment.Name, environment.Namespace, problem.Message)
		return nil
	}
	answer, err := upstream.Token(ctx, requestOf(spec), turnOf(done.after()))
	if err != nil {
		return fmt.Errorf("asking WorkOS: %w", err)
	}
	done.call.answer = answer
	log.FromContext(ctx).V(1).Info("Asked WorkOS", "cause", decided.cause, "outcome", answer.Outcome,
		"sent", answer.Sent, "requestID", answer.RequestID, "message", answer.Message)
	r.Metrics.Asked(spec.Slug, answer, done.seen.now.Sub(decided.due), !decided.due.IsZero())
	done.call.outdated = !r.Connections.Heard(environment, version, answer, r.Clock.Now())
	return nil
}

// requestOf returns the request for the connection that a PipesToken names.
func requestOf(spec v1alpha1.PipesTokenSpec) workos.Request {
	return workos.Request{
		Slug: spec.Slug, UserID: spec.UserID, OrganizationID: spec.OrganizationID,
		Owner: owners[spec.ConnectionOwner], AccountID: spec.ConnectedAccountID, Method: methods[spec.AuthMethod],
	}
}

// owners and methods translate the spec into the words of WorkOS. Fields of an object that was
// stored before the CRD had them are empty, and mean the defaults.
var (
	owners = map[v1alpha1.ConnectionOwner]workos.Owner{
		v1alpha1.ConnectionOwnerUser: workos.OwnerUser, v1alpha1.ConnectionOwnerOrganization: workos.OwnerOrganization,
	}
	methods = map[v1alpha1.AuthMethod]workos.Method{
		v1alpha1.AuthMethodOAuth: workos.MethodOAuth, v1alpha1.AuthMethodAPIKey: workos.MethodAPIKey,
		v1alpha1.AuthMethodClientCredentials: workos.MethodClientCredentials,
	}
)

// turnOf returns the rank of a call among the calls that wait for the budget of the same API
// key.
func turnOf(seen observation) workos.Turn {
	turn := workos.Turn{
		Share: seen.token.Namespace, Asker: string(seen.token.UID),
		Refresh: seen.refreshRequested() || seen.isHinted(),
		Idle:    traits[seen.standing.Reason].pace == slowPoll && !seen.isHinted(),
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
