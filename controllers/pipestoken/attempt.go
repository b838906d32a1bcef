package pipestoken

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// attempt is what a reconcile needs to know of the last attempt for the same object. An attempt is
// a call to WorkOS, or a check whether the name of the Secret is still taken. The status contains
// the same information, but it is older if it could not be written. The facts about the token are
// stored only in the Secret.
type attempt struct {
	state    attemptState
	schedule schedule
	// finding is what the attempt has found. It is valid until the next attempt.
	finding finding.Finding
	// connected is the Connected condition after the last answer of WorkOS. Nil: the condition in
	// the status is valid.
	connected *metav1.Condition
	left      remainder
	streak    streak
	refresh   handled
	basis     basis
	// lead is the lead of this connection.
	lead renewal.Estimate
}

// attemptState says where the knowledge about the last attempt comes from.
type attemptState int

const (
	// noAttempt: no attempt is known, or it no longer matters.
	noAttempt attemptState = iota
	// fromStatus: the finding was read from the status. This process has not asked WorkOS yet.
	fromStatus
	// awaitingTurn: the renewal was already due when this process started, and its turn has not
	// come yet.
	awaitingTurn
	// attempted: this process has made the attempt.
	attempted
	// nameTaken: a check has found that the Secret belongs to somebody else.
	nameTaken
)

// schedule says when the last attempt was made, and when the next one may be made.
type schedule struct {
	// noted is when the schedule was made, by the clock of that time.
	noted time.Time
	// at is the time of the last attempt. Zero: none was made.
	at time.Time
	// notBefore is the earliest time of the next attempt.
	notBefore time.Time
	// renewNotBefore is the earliest time of the next attempt whose only cause is the renewal. The
	// repair of an altered Secret does not wait for it.
	renewNotBefore time.Time
}

// remainder is what the last attempt has left in the Secret.
type remainder struct {
	// intact: a token. If the token is missing later, somebody else has removed it.
	intact bool
	// hash is the hash of the token that was in the Secret after a failed write, as far as known.
	// Empty: no write failed, or the Secret held no token.
	hash string
}

// streak counts attempts in a row.
type streak struct {
	// failures: the attempt failed. repairs: it repaired a change of the Secret by somebody else.
	// wasted: WorkOS returned a token that could not be written.
	failures, repairs, wasted int
}

// handled is the refresh request that was handled last.
type handled struct {
	// answered is the value of the annotation that was answered last.
	answered string
	// waits: a request that was not answered, because nothing was sent or written, has to wait for
	// notBefore like every other attempt. An event has to wait as well.
	waits bool
}

// basis is the state of the environment that an attempt depended on. If it changes, the next
// attempt need not wait.
type basis struct {
	// connection is the version of the environment's connection. It changes with the spec of the
	// environment and with the API key.
	connection uint64
	// budget is the generation of the environment whose budget held the attempt back. Zero: the
	// budget did not.
	budget int64
	// epoch is the epoch of the answer that held the attempt back (see workos.Answer). Zero: no
	// answer did.
	epoch uint64
}

// asOf returns the schedule as it is valid at now. If the clock has been set back since it was
// made, its times move back too, so that a wait does not become longer.
func (s schedule) asOf(now time.Time) schedule {
	back := s.noted.Sub(now)
	if back <= 0 {
		return s
	}
	s.noted = now
	for _, instant := range []*time.Time{&s.at, &s.notBefore, &s.renewNotBefore} {
		if !instant.IsZero() {
			*instant = instant.Add(-back)
		}
	}
	return s
}

// attemptFromStatus returns the last attempt of the previous leader. It counts as made now, so that
// a restart costs no call. began is when this process started.
func attemptFromStatus(seen observation, began time.Time) attempt {
	seed, since := string(seen.token.UID), troubleSince(seen.token.Status.Conditions, seen.local()).Add(seen.skew)
	last := attempt{
		finding:  findingFromStatus(seen.token),
		schedule: schedule{noted: seen.now},
		basis:    basis{connection: seen.origin.connection},
		lead:     writtenEstimate(seen.secret.Facts),
	}
	switch {
	case last.finding.Present():
		last.state, last.schedule.at = fromStatus, since
		last.schedule.notBefore = seen.now.Add(renewal.SlowPoll(seen.now, since))
		if traitOf(last.finding).pace == backOff {
			last.schedule.notBefore = seen.now.Add(renewal.Backoff(1, seed))
		}
	case seen.toldTaken():
		last.state, last.schedule.at = nameTaken, since
		last.schedule.notBefore = seen.now.Add(renewal.SlowPoll(seen.now, since))
	case seen.secret.State == tokensecret.Intact && seen.secret.Facts.ExpiresAt.IsZero():
		last.schedule.at = seen.now
	case seen.secret.HoldsValidToken(seen.now) && !seen.now.Before(seen.nextDue()):
		last.state = awaitingTurn
		last.schedule.renewNotBefore = renewal.CatchUp(seen.now, began, seen.nextDue(), seen.secret.Facts.ExpiresAt)
	}
	return last
}

// toldTaken reports whether the status says that the Secret belongs to somebody else.
func (seen observation) toldTaken() bool {
	return conditions.Ready(seen.token.Status.Conditions).Reason == v1alpha1.SecretConflictReason
}

// backlog is how late renewals may be while a process is running. The number is from a
// measurement: an API server at its limit has made renewals 9 seconds late.
const backlog = 10 * time.Second

// inTurn returns the last attempt as it counts now. It concerns a renewal that was already due
// when this process started, and whose turn has come. If another token of the slug was obtained
// more than backlog after this renewal fell due, the renewal did not only wait in the backlog:
// the previous leader has asked for it without success. The next attempt then waits until WorkOS
// is known to return the next token.
func (seen observation) inTurn(last attempt) attempt {
	if last.state != awaitingTurn || seen.now.Before(last.schedule.renewNotBefore) {
		return last
	}
	last.state = noAttempt
	if seen.nextDue().Add(backlog).Before(seen.slug.lastObtained) {
		last.schedule.renewNotBefore = renewal.InheritedProbe(renewalToken(seen), seen.now, last.lead, seen.slug.Estimate)
	}
	return last
}

// nextAttempt returns what the next reconcile needs to know of this one. crowd is the number of
// PipesTokens in the namespace that wait until the API server accepts their Secrets.
func nextAttempt(done outcome, status v1alpha1.PipesTokenStatus, crowd int) attempt {
	next := done.seen.last
	next.schedule.noted = done.seen.now
	taken := done.finding.Reason == v1alpha1.SecretConflictReason
	switch checked := taken && !done.seen.now.Before(next.schedule.notBefore); {
	case done.attempted || checked:
		next = next.after(done, status, crowd)
		if checked {
			next.state = nameTaken
		}
	case done.finding.Present() && !traitOf(done.finding).asked && !taken:
		// An obstacle may disappear at any moment. The next attempt must not wait because of
		// earlier attempts.
		next.finding, next.left.intact = finding.Finding{}, false
		next.schedule.notBefore, next.schedule.renewNotBefore = time.Time{}, time.Time{}
		if next.state != awaitingTurn {
			next.state = noAttempt
		}
	case !done.seen.standing.Present() && !done.after().doubtful():
		next.finding = finding.Finding{}
	}
	return next
}

// after returns the attempt that done has made.
func (last attempt) after(done outcome, status v1alpha1.PipesTokenStatus, crowd int) attempt {
	next := last
	next.connected = connectedCondition(done)
	next.basis = basis{connection: done.connection(), epoch: done.heldSince()}
	if done.call.answer.Outcome == workos.OutcomeHeld {
		next.basis.budget = done.seen.origin.environment.Generation
	}
	if !heldBack(done.after(), done.call.answer) { // a call that was held back changes nothing
		next.state, next.schedule.at, next.finding = attempted, done.seen.now, finding.Finding{}
		if traitOf(done.finding).asked {
			next.finding = done.finding
		}
	} else if last.state == nameTaken {
		next.state = noAttempt
	}
	next.left = remainder{intact: done.secret.State == tokensecret.Intact}
	if isUnwritten(done.finding) {
		next.left.hash = done.secret.Facts.TokenHash
	}
	next.streak, next.schedule.notBefore = pacing(done, status, crowd)
	next.schedule.renewNotBefore = nextProbe(done)
	next.refresh.waits = !done.call.answer.Sent || done.dropped()
	if done.attempted && !next.refresh.waits {
		next.refresh.answered = done.call.request
	}
	return next
}

// findingFromStatus reads the finding of the last attempt from the status.
func findingFromStatus(token *v1alpha1.PipesToken) finding.Finding {
	told := trouble(token.Status.Conditions)
	if told == nil || !traits[told.Reason].asked {
		return finding.Finding{}
	}
	if connected := connectedFromStatus(token); connected != nil && connected.Reason == told.Reason {
		told = connected // which does not say what became of the token in the Secret
	}
	return finding.New(told.Reason, told.Message)
}
