package controllers

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// WorkOS says by its own clock when a token expires. Answers have a date, so the operator knows how
// far its clock is from that of WorkOS, for each PipesEnvironment, and goes by WorkOS's for all that
// concerns tokens: the schedule, what the Secret and the status say of the token, and whether it is
// valid. Conditions have the operator's time, as everything else in Kubernetes.

// lookAtClock reads the time.
func (r *PipesTokenReconciler) lookAtClock(seen *observation) {
	local := r.Clock.Now()
	seen.skew = r.Connections.skewOf(seen.environmentName, local)
	seen.now = local.Round(0).Add(seen.skew) // instants that are stored have no monotonic reading, and none may be compared by one
}

// local is the time by the operator's own clock.
func (seen observation) local() time.Time { return seen.now.Add(-seen.skew) }

// skewOf is how far WorkOS's clock is ahead of the operator's, which shows now; zero while nothing is
// known.
func (c *Connections) skewOf(environment types.NamespacedName, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state, ok := c.known[environment]; ok {
		return state.skew.At(now)
	}
	return 0
}

// clockUnknown says whether the clocks are known to differ, but not yet to this process by how much.
func (c *Connections) clockUnknown(environment *v1alpha1.PipesEnvironment) bool {
	if environment == nil || !skewIsTold(environment) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	state, ok := c.known[client.ObjectKeyFromObject(environment)]
	return !ok || !state.skew.Known()
}

// skewIsTold says whether the status says that the clocks differ, as it does across restarts.
func skewIsTold(environment *v1alpha1.PipesEnvironment) bool {
	return meta.IsStatusConditionTrue(environment.Status.Conditions, v1alpha1.ClockSkewedCondition)
}

// sampleOf is what an answer says of the clocks. False: nothing; or it may not be WorkOS's own; or its
// date is not to be trusted, since its token has expired by then.
func sampleOf(answer workos.Answer, now time.Time) (renewal.Sample, bool) {
	expires := answer.Token.ExpiresAt
	stale := !expires.IsZero() && !expires.After(now.Add(answer.ClockSkew))
	return renewal.Sample{
		AtLeast: answer.ClockSkew, AtMost: answer.ClockSkew + answer.ClockDoubt, At: now,
	}, answer.Sent && answer.ClockDoubt > 0 && answer.Outcome.Authoritative() && !stale
}

// retimed is how far the clock has to move until the PipesTokens are told: their timers are off by as
// much.
const retimed = 5 * time.Second

// learnClock takes from an answer what it says of the clocks, and says whether that is news. told: the
// status says that they differ.
func (s *connectionState) learnClock(answer workos.Answer, told bool, now time.Time) bool {
	sample, ok := sampleOf(answer, now)
	if !ok {
		return false
	}
	known, wild := s.skew.Known(), s.skew.Wild()
	s.skew.Learn(sample, told)
	moved := (s.skew.At(now) - s.timed).Abs() >= retimed
	if moved {
		s.timed, s.unwell = s.skew.At(now), true
	}
	return moved || s.skew.Known() != known || s.skew.Wild() != wild
}

// clocks tells of those of WorkOS and of the operator.
func (c *Connections) clocks(environment types.NamespacedName, told bool, now time.Time) *finding {
	c.mu.Lock()
	defer c.mu.Unlock()
	state, ok := c.known[environment]
	if !ok {
		return nil
	}
	return clockSkewed(state.skew, told, now)
}

const (
	// skewTold is a difference of clocks that a person should do something about; once told, it is told
	// until it is below skewGone.
	skewTold = 30 * time.Second
	skewGone = 20 * time.Second
)

// clockSkewed tells of clocks that differ. Nil: it is not known yet whether they do.
func clockSkewed(skew renewal.Skew, told bool, now time.Time) *finding {
	by := skew.At(now)
	switch {
	case skew.Wild():
		return &finding{v1alpha1.ClocksDifferReason,
			"The clocks of WorkOS and of the operator are more than a day apart, so the operator goes by its own, and tokens may expire before they are renewed: correct the clock of its node"}
	case !skew.Known():
		return nil
	case by.Abs() <= skewGone || by.Abs() <= skewTold && !told:
		return &finding{}
	}
	than := "behind"
	if by > 0 {
		than = "ahead of"
	}
	return &finding{v1alpha1.ClocksDifferReason, fmt.Sprintf(
		"The clock of WorkOS is about %s %s the operator's: tokens are renewed by WorkOS's clock, but conditions have the time of the operator's, so correct the clock of its node", roughTime(by.Abs()), than)}
}

// roughTime is a duration as precise as a person needs it: a status is not written for less.
func roughTime(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds", 30*int(max(1, d.Round(30*time.Second)/(30*time.Second))))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Round(time.Minute)/time.Minute))
	default:
		return fmt.Sprintf("%d hours", int(d.Round(time.Hour)/time.Hour))
	}
}
