package pipestoken

import (
	"time"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// pacing returns how many attempts in a row had a result like this one, and when the next attempt
// may be made.
func pacing(done outcome, status v1alpha1.PipesTokenStatus, crowd int) (next streak, notBefore time.Time) {
	now, last, seed := done.seen.now, done.seen.last.streak, string(done.seen.token.UID)
	patience := now.Add(done.call.answer.RetryAfter)
	switch pace := traitOf(done.finding).pace; {
	case heldBack(done.after(), done.call.answer), done.paced():
		return streak{failures: last.failures, repairs: last.repairs, wasted: wasted(done)}, patience
	case isUnwritten(done.finding):
		next = streak{failures: last.failures + 1, wasted: wasted(done)}
		return next, now.Add(renewal.WriteRetry(next.failures, next.wasted, crowd, seed))
	case done.dropped() || pace == backOff:
		next = streak{failures: last.failures + 1}
		return next, renewal.Retry(now, done.secret.Facts.ExpiresAt, next.failures, done.call.answer.RetryAfter, seed)
	case pace == slowPoll:
		since := troubleSince(status.Conditions, done.seen.local())
		if told := trouble(done.seen.token.Status.Conditions); told != nil && told.Reason != done.finding.Reason {
			since = done.seen.local() // the problem may be temporary, or somebody may be fixing it
		}
		return streak{}, latest(now.Add(renewal.SlowPoll(done.seen.local(), since)), patience)
	case done.repaired:
		// Somebody else may damage the Secret again and again, and each repair costs a call.
		next = streak{repairs: last.repairs + 1}
		return next, now.Add(max(renewal.MinInterval, renewal.Backoff(next.repairs, seed)))
	default:
		return streak{}, time.Time{}
	}
}

// wasted returns the number of calls in a row whose token could not be written.
func wasted(done outcome) int {
	switch {
	case !isUnwritten(done.finding):
		return 0
	case done.dropped():
		return done.seen.last.streak.wasted + 1
	default:
		return done.seen.last.streak.wasted
	}
}

// paced reports whether the answer determines the time of the next attempt, in place of a
// back-off. That is the case if nothing was sent, or if the integration counts as down: then
// each connection has its own time to probe.
func (done outcome) paced() bool {
	answer := done.call.answer
	unsent := answer.Outcome != "" && !answer.Sent
	return answer.Down || unsent && traitOf(done.finding).pace == backOff
}

// heldSince returns the epoch of the answer that has held the attempt back; zero if none has.
func (done outcome) heldSince() uint64 {
	if done.call.answer.Sent && !done.call.answer.Down {
		return 0
	}
	return done.call.answer.Epoch
}

// nextProbe returns when to ask again for the next token, if a renewal was due and WorkOS
// returned the same token. Zero: no probe is needed.
func nextProbe(done outcome) time.Time {
	after := done.after()
	switch {
	case heldBack(after, done.call.answer):
		return after.last.schedule.renewNotBefore
	case done.finding.Present(), done.dropped(), after.secret.Facts.ExpiresAt.IsZero(), after.now.Before(after.nextDue()):
		return time.Time{}
	default:
		return renewal.Probe(renewalToken(after), after.now, 0, after.last.lead, after.slug.Estimate)
	}
}

// attemptDue returns when the attempt after done and next is due. Zero: only a change causes
// another attempt.
func attemptDue(done outcome, next attempt) time.Time {
	after := done.after()
	after.last = next
	if done.call.answer.Sent && after.hinted.Equal(done.call.hinted) {
		after.hinted = time.Time{}
	}
	switch trait := traitOf(done.finding); {
	case done.finding.Reason == v1alpha1.SecretConflictReason:
		return next.schedule.notBefore
	case after.token.Spec.Suspend, deleting(after.token), done.finding.Present() && !trait.asked:
		return time.Time{}
	case trait.fixedBy == newConnection && done.call.outdated:
		return after.now
	case done.finding.Present(), after.refreshRequested(), after.isHinted(), after.flaw() != "":
		return latest(after.polls.due(done.finding, next), after.now)
	default:
		return latest(after.renewalDue(), next.schedule.notBefore)
	}
}

// nextDue returns when the token in the Secret must be fetched again.
func (seen observation) nextDue() time.Time {
	token := renewalToken(seen)
	if token.Expires.IsZero() {
		return renewal.NextRefresh(token, latest(seen.last.schedule.at, token.Obtained), refreshInterval(seen.token))
	}
	return renewal.Time(token, renewBefore(seen.token))
}

// renewalDue returns when to ask for the renewal. It is later than nextDue if WorkOS has
// returned the same token again, or if the renewal waits for its turn after the process has
// started.
func (seen observation) renewalDue() time.Time {
	return latest(seen.nextDue(), seen.last.schedule.renewNotBefore)
}

func renewalToken(seen observation) renewal.Token {
	return renewal.Token{
		Obtained: seen.secret.Facts.ObtainedAt, Expires: seen.secret.Facts.ExpiresAt, Seed: string(seen.token.UID),
		Lead: seen.secret.Facts.UpstreamLead,
	}
}

// cycle returns the time between two renewals of a token like the token in the Secret. Zero: no
// token is renewed.
func (done outcome) cycle() time.Duration {
	switch after := done.after(); {
	case after.secret.State != tokensecret.Intact, after.token.Spec.Suspend, deleting(after.token),
		traitOf(done.finding).withdraws:
		return 0
	case after.secret.Facts.ExpiresAt.IsZero():
		return refreshInterval(after.token)
	default:
		return after.nextDue().Sub(after.secret.Facts.ObtainedAt)
	}
}

// expiry returns when the status has to report that the token has expired, even if every
// reconcile until then fails. Zero: it never expires, or the Secret holds no valid token.
func (done outcome) expiry() time.Time {
	if !done.secret.HoldsValidToken(done.seen.now) {
		return time.Time{}
	}
	return done.secret.Facts.ExpiresAt
}

// doubt returns until when a Secret that the cache does not show is assumed to exist. Zero: the
// cache shows the Secret.
func (done outcome) doubt() time.Time {
	if !done.unseen {
		return time.Time{}
	}
	return done.seen.now.Add(trustWritten)
}

// defaultRefreshInterval is the default in the CRD. It is for objects that were stored before
// the CRD had that default.
const defaultRefreshInterval = time.Hour

func refreshInterval(token *v1alpha1.PipesToken) time.Duration {
	if token.Spec.RefreshInterval == nil || token.Spec.RefreshInterval.Duration <= 0 {
		return defaultRefreshInterval
	}
	return token.Spec.RefreshInterval.Duration
}

func renewBefore(token *v1alpha1.PipesToken) time.Duration {
	if token.Spec.RenewBefore == nil {
		return 0
	}
	return token.Spec.RenewBefore.Duration
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// heldBack reports whether nothing was sent, so that the PipesToken reports nothing. Either the
// call has to wait for its turn, or WorkOS is known to be down or to limit the rate while the
// Secret still holds a valid token. In the second case the PipesEnvironment reports the problem
// once, instead of each PipesToken.
func heldBack(seen observation, answer workos.Answer) bool {
	switch answer.Outcome {
	case workos.OutcomeHeld:
		return true
	case workos.OutcomeRateLimited, workos.OutcomeUnavailable, workos.OutcomeUnreadable:
		return !answer.Sent && seen.secret.HoldsValidToken(seen.now)
	default:
		return false
	}
}
