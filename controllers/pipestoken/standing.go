package pipestoken

import (
	"time"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// remembering adds the last attempt to the observation, as far as it is still valid.
func (seen observation) remembering(last attempt) observation {
	seen.last = last
	if seen.isStale() {
		seen.last.finding, seen.last.connected = finding.Finding{}, connectedByToken
	}
	if !seen.doubtful() {
		seen.standing = seen.last.finding
	}
	return seen
}

// isStale reports whether the Secret holds a token that was obtained after the last attempt.
// Then another replica has received a later answer, or a status was not written, and the finding
// of that attempt is stale. Both times are known only to the second. If they are equal, a
// finding that withdraws the token counts as stale too, because no token is taken away in case
// of doubt.
func (seen observation) isStale() bool {
	last, facts := seen.last, seen.secret.Facts
	if seen.secret.State != tokensecret.Intact || !last.finding.Present() {
		return false
	}
	// A write whose response was lost may have succeeded.
	arrived := last.left.hash != "" && last.left.hash != facts.TokenHash
	at := conditions.Stored(last.schedule.at)
	return arrived || facts.ObtainedAt.After(at) || facts.ObtainedAt.Equal(at) && traitOf(last.finding).withdraws
}

// doubtful reports whether only a status says that the token in the Secret has to be removed.
// Somebody may have forged the status, or restored the Secret. A status alone removes no token:
// WorkOS has to confirm it.
func (seen observation) doubtful() bool {
	mayHold := seen.secret.HoldsValidToken(seen.now) || seen.secret.State == tokensecret.Altered
	return seen.last.state == fromStatus && seen.withdraws(seen.last.finding) && mayHold &&
		seen.token.Spec.InactivePolicy != v1alpha1.InactivePolicyRetain
}

// notBefore returns the earliest time of the next attempt. Zero means now: what held the last
// attempt back has changed.
func (seen observation) notBefore() time.Time {
	if seen.fixed() || seen.released() {
		return time.Time{}
	}
	return seen.polls.due(seen.standing, seen.last)
}

// fixed reports whether a change may have fixed the cause of the last failure.
func (seen observation) fixed() bool {
	fix := traitOf(seen.standing).fixedBy
	if seen.last.state == nameTaken {
		fix = freeName
	}
	switch fix {
	case newConnection:
		return seen.origin.connection != seen.last.basis.connection
	case acceptedWrite:
		return seen.token.Generation != seen.token.Status.ObservedGeneration ||
			seen.recovered.After(seen.last.schedule.at)
	case freeName:
		return seen.secret.IsOurs() || seen.secret.State == tokensecret.Orphaned
	case onlyTime:
	}
	return false
}

// released reports whether the last attempt was held back, and the next attempt need not wait any
// longer: the environment has another budget, or WorkOS is available again.
func (seen observation) released() bool {
	held, environment := seen.last.basis, seen.origin.environment
	return held.budget != 0 && environment != nil && environment.Generation != held.budget ||
		held.epoch != 0 && held.epoch != seen.origin.epoch
}
