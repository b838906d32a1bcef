package pipestoken

import (
	"time"

	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
)

// polls says how often to ask WorkOS about a connection while a person has to act, and an event of
// WorkOS will say when the person has acted.
type polls struct {
	// followed: the events are followed.
	followed bool
	// lost is when the events were no longer followed. Zero: this process has never followed them,
	// or it does.
	lost time.Time
	// crowd is the number of PipesTokens of the environment that wait for a person.
	crowd int
	// seed makes the polls of different PipesTokens come at different times.
	seed string
}

// pollsOf returns the polls for the standing finding. Other findings do not need them.
func (r *Reconciler) pollsOf(seen observation) polls {
	if r.Feed == nil || seen.origin.environment == nil {
		return polls{}
	}
	p := polls{seed: string(seen.token.UID)}
	p.followed, p.lost = r.Feed.Followed(seen.origin.environment)
	if !p.lost.IsZero() {
		p.lost = p.lost.Add(seen.skew)
	}
	if p.followed {
		p.crowd = r.Ledger.Count(seen.origin.name, func(reason string) bool { return traits[reason].announced })
	}
	return p
}

// due returns the earliest time of the attempt after last. While events are followed, it is much
// later than the attempt asks for: the poll is only for an event that was lost. When events are no
// longer followed, the polls that were delayed are spread over some minutes.
func (p polls) due(standing finding.Finding, last attempt) time.Time {
	notBefore := last.schedule.notBefore
	switch {
	case !traitOf(standing).announced || notBefore.IsZero():
		return notBefore
	case last.refresh.waits:
		// The last attempt sent nothing: its cause remains, and only its turn has to come.
		return notBefore
	case p.followed:
		return renewal.FollowedPoll(notBefore, p.crowd, last.state != fromStatus, p.seed)
	case p.lost.After(notBefore):
		return renewal.LostPoll(p.lost, p.seed)
	default:
		return notBefore
	}
}
