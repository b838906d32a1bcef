package controllers

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// finding is what keeps an object from having the token that it should have. The zero finding: nothing does.
type finding struct {
	// reason is a reason of the Ready condition.
	reason string
	// message tells a person what is wrong and what to do about it.
	message string
}

func (f finding) present() bool { return f.reason != "" }

// unwritten says whether it was found by writing the Secret.
func (f finding) unwritten() bool { return traits[f.reason].unwritten }

// pace is what brings an object with a finding back.
type pace int

const (
	// onChange: nothing but a change of what was observed; every such change is watched.
	onChange pace = iota
	// slowPoll: a look at growing intervals, because a human has to do something that cannot be watched.
	slowPoll
	// backOff: retries with growing delays, because it should pass by itself.
	backOff
)

// trait says how a finding is treated.
type trait struct {
	// hidden: while the Secret holds a valid token, Ready stays True and the finding shows as RenewalFailed.
	hidden bool
	// withdraws: inactivePolicy decides what becomes of the Secret.
	withdraws bool
	// grace is for how long a valid token stays all the same, as if the finding was hidden, because it
	// may pass.
	grace time.Duration
	// asked: it was found by trying, so it stands until the next try says otherwise. The others are found by looking,
	// anew in each pass.
	asked bool
	// unwritten: a write of the Secret failed, or admission changed it. WorkOS is asked for nothing
	// more until a rehearsal of the write succeeds.
	unwritten bool
	// mark is the kstatus condition beside Ready=False.
	mark string
	pace pace
}

// traits has the treatment of every finding; it is the table of conditions in docs/conditions.md.
var traits = map[string]trait{
	v1alpha1.NotInstalledReason:         {asked: true, withdraws: true, mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.NeedsReauthorizationReason: {asked: true, withdraws: true, mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.InactiveReason:             {asked: true, withdraws: true, grace: time.Hour, mark: v1alpha1.StalledCondition, pace: slowPoll},

	v1alpha1.NotGrantedReason:          {withdraws: true, mark: v1alpha1.StalledCondition, pace: onChange},
	v1alpha1.EnvironmentNotFoundReason: {hidden: true, mark: v1alpha1.ReconcilingCondition, pace: onChange},
	v1alpha1.EnvironmentNotReadyReason: {hidden: true, asked: true, mark: v1alpha1.ReconcilingCondition, pace: slowPoll},

	v1alpha1.IntegrationNotFoundReason:      {hidden: true, asked: true, mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.AccountSelectionRequiredReason: {hidden: true, asked: true, mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.AuthMethodMismatchReason:       {hidden: true, asked: true, mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.RequestRejectedReason:          {hidden: true, asked: true, mark: v1alpha1.StalledCondition, pace: slowPoll},

	v1alpha1.RateLimitedReason:         {hidden: true, asked: true, mark: v1alpha1.ReconcilingCondition, pace: backOff},
	v1alpha1.UpstreamUnavailableReason: {hidden: true, asked: true, mark: v1alpha1.ReconcilingCondition, pace: backOff},
	v1alpha1.TokenExpiredReason:        {hidden: true, asked: true, mark: v1alpha1.ReconcilingCondition, pace: backOff},
	v1alpha1.SecretNotWrittenReason:    {hidden: true, asked: true, unwritten: true, mark: v1alpha1.ReconcilingCondition, pace: backOff},

	v1alpha1.SecretConflictReason:  {mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.SecretRejectedReason:  {hidden: true, asked: true, unwritten: true, mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.SecretChangedReason:   {hidden: true, asked: true, unwritten: true, mark: v1alpha1.StalledCondition, pace: slowPoll},
	v1alpha1.InvalidTemplateReason: {mark: v1alpha1.StalledCondition, pace: onChange},
	v1alpha1.SuspendedReason:       {mark: v1alpha1.StalledCondition, pace: onChange},
}

// withdraws says whether a finding takes the token away now.
func (seen observation) withdraws(found finding) bool {
	return traits[found.reason].withdraws && !seen.spares(found)
}

// hides says whether Ready stays True beside a finding.
func (seen observation) hides(found finding) bool {
	return seen.secret.HoldsValidToken(seen.now) && (traits[found.reason].hidden || seen.spares(found))
}

// spares says whether a finding that withdraws the token leaves it for now.
func (seen observation) spares(found finding) bool { return !seen.sparedUntil(found).IsZero() }

// sparedUntil is when a finding takes the token away that it leaves for now; zero when it leaves none. The
// time begins when WorkOS first says that the connection is lost.
func (seen observation) sparedUntil(found finding) time.Time {
	grace, since := traits[found.reason].grace, seen.local()
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
