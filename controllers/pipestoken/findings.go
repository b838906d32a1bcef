package pipestoken

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/finding"
)

// pace says when an object with a finding is reconciled again.
type pace int

const (
	// onChange: only when an observed object changes. All these objects are watched.
	onChange pace = iota
	// slowPoll: at growing intervals, because a person has to do something that cannot be
	// watched.
	slowPoll
	// backOff: with growing delays, because the problem should disappear by itself.
	backOff
)

// fix is a change that may fix the cause of a finding.
type fix int

const (
	// onlyTime: no change that the operator can see.
	onlyTime fix = iota
	// newConnection: another API key, or another spec of the PipesEnvironment.
	newConnection
	// acceptedWrite: the API server accepts a Secret of the namespace again, or the PipesToken was
	// edited. Until then WorkOS is asked only after a dry run of the write has succeeded.
	acceptedWrite
	// freeName: the Secret no longer belongs to somebody else.
	freeName
)

// trait says how a finding is handled.
type trait struct {
	// hidden: while the Secret holds a valid token, Ready stays True and the finding is reported
	// as RenewalFailed.
	hidden bool
	// withdraws: inactivePolicy is applied to the Secret.
	withdraws bool
	// grace is how long a valid token stays anyway, as if the finding were hidden, because the
	// problem may be temporary.
	grace time.Duration
	// asked: an attempt has found the problem, and the finding is valid until the next attempt.
	// All other problems are observed again in each reconcile.
	asked bool
	// mark is the kstatus condition beside Ready=False: Stalled or Reconciling.
	mark string
	pace pace
	// announced: an event of WorkOS tells when the problem has ended. While events are followed, the
	// slow polls are rare.
	announced bool
	// fixedBy is the change after which the next attempt need not wait.
	fixedBy fix
}

// traits defines how every finding is handled. It is the table of conditions in
// docs/reference/conditions.md.
var traits = map[string]trait{
	v1alpha1.NotInstalledReason: {asked: true, withdraws: true, announced: true,
		mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.NeedsReauthorizationReason: {asked: true, withdraws: true, announced: true,
		mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.InactiveReason: {asked: true, withdraws: true, grace: time.Hour,
		mark: v1alpha1.StalledCondition, pace: slowPoll},

	v1alpha1.NotGrantedReason:          {withdraws: true, mark: v1alpha1.StalledCondition, pace: onChange},
	v1alpha1.EnvironmentNotFoundReason: {hidden: true, mark: v1alpha1.ReconcilingCondition, pace: onChange},
	v1alpha1.EnvironmentNotReadyReason: {hidden: true, asked: true, fixedBy: newConnection,
		mark: v1alpha1.ReconcilingCondition, pace: slowPoll},

	v1alpha1.IntegrationNotFoundReason:      {hidden: true, asked: true, mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.AccountSelectionRequiredReason: {hidden: true, asked: true, mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.AuthMethodMismatchReason:       {hidden: true, asked: true, mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.RequestRejectedReason:          {hidden: true, asked: true, mark: v1alpha1.StalledCondition, pace: slowPoll},

	v1alpha1.RateLimitedReason:         {hidden: true, asked: true, mark: v1alpha1.ReconcilingCondition, pace: backOff},
	v1alpha1.UpstreamUnavailableReason: {hidden: true, asked: true, mark: v1alpha1.ReconcilingCondition, pace: backOff},
	v1alpha1.TokenExpiredReason:        {hidden: true, asked: true, mark: v1alpha1.ReconcilingCondition, pace: backOff},
	v1alpha1.SecretNotWrittenReason: {hidden: true, asked: true, fixedBy: acceptedWrite,
		mark: v1alpha1.ReconcilingCondition, pace: backOff},

	v1alpha1.SecretConflictReason: {mark: v1alpha1.StalledCondition, pace: slowPoll, fixedBy: freeName},
	v1alpha1.SecretRejectedReason: {hidden: true, asked: true, fixedBy: acceptedWrite,
		mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.SecretChangedReason: {hidden: true, asked: true, fixedBy: acceptedWrite,
		mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.InvalidTemplateReason: {mark: v1alpha1.StalledCondition, pace: onChange},
	v1alpha1.SuspendedReason:       {mark: v1alpha1.StalledCondition, pace: onChange},
}

// traitOf returns how a finding is handled; the zero trait for no finding.
func traitOf(found finding.Finding) trait { return traits[found.Reason] }

// isUnwritten reports whether a write of the Secret, or a dry run of it, has found the problem.
func isUnwritten(found finding.Finding) bool { return traitOf(found).fixedBy == acceptedWrite }

// withdraws reports whether a finding takes the token away now.
func (seen observation) withdraws(found finding.Finding) bool {
	return traitOf(found).withdraws && !seen.spares(found)
}

// hides reports whether Ready stays True beside a finding.
func (seen observation) hides(found finding.Finding) bool {
	return seen.secret.HoldsValidToken(seen.now) && (traitOf(found).hidden || seen.spares(found))
}

// spares reports whether a finding that withdraws the token leaves the token in the Secret for
// now.
func (seen observation) spares(found finding.Finding) bool { return !seen.sparedUntil(found).IsZero() }

// sparedUntil returns when the grace of a finding ends, and the token is taken away. Zero: the
// token has no grace. The grace begins when WorkOS first says that the connection is lost.
func (seen observation) sparedUntil(found finding.Finding) time.Time {
	grace, since := traitOf(found).grace, seen.local()
	connected := meta.FindStatusCondition(seen.token.Status.Conditions, v1alpha1.ConnectedCondition)
	if connected != nil && connected.Status == metav1.ConditionFalse && connected.LastTransitionTime.Time.Before(since) {
		since = connected.LastTransitionTime.Time
	}
	end := since.Add(grace + seen.skew)
	if grace == 0 || !end.After(seen.now) || !seen.secret.HoldsValidToken(seen.now) {
		return time.Time{}
	}
	return end
}
