package connection

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// WorkOS decides by its own clock when a token expires. Its answers contain a date. From the
// date the operator knows, for each PipesEnvironment, how far its own clock differs from
// WorkOS's clock. It uses WorkOS's clock for everything about tokens: the schedule, the times of
// the token in the Secret and in the status, and the decision whether the token is valid.
// Conditions have the operator's time, like everything else in Kubernetes.

// Skew returns how far WorkOS's clock is ahead of the operator's clock, which shows now. Zero:
// nothing is known yet.
func (r *Registry) Skew(environment types.NamespacedName, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if state, ok := r.known[environment]; ok {
		return state.clocks.skew.At(now)
	}
	return 0
}

// ClockUnknown reports whether the status says that the clocks differ, but this process does not
// know yet by how much.
func (r *Registry) ClockUnknown(environment *v1alpha1.PipesEnvironment) bool {
	if environment == nil || !skewIsTold(environment) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	state, ok := r.known[client.ObjectKeyFromObject(environment)]
	return !ok || !state.clocks.skew.Known()
}

// skewIsTold reports whether the status says that the clocks differ. The status survives
// restarts.
func skewIsTold(environment *v1alpha1.PipesEnvironment) bool {
	return meta.IsStatusConditionTrue(environment.Status.Conditions, v1alpha1.ClockSkewedCondition)
}

// sampleOf returns the clock sample of an answer. It returns false in three cases: the answer
// has no sample, the answer may come from a proxy instead of WorkOS, or the date of the answer
// is wrong, because the new token has expired by that date.
func sampleOf(answer workos.Answer, now time.Time) (renewal.Sample, bool) {
	expires := answer.Token.ExpiresAt
	stale := !expires.IsZero() && !expires.After(now.Add(answer.ClockSkew))
	return renewal.Sample{
		AtLeast: answer.ClockSkew, AtMost: answer.ClockSkew + answer.ClockDoubt, At: now,
	}, answer.Sent && answer.ClockDoubt > 0 && answer.Outcome.Authoritative() && !stale
}

// retimed is the change of the skew from which on the PipesTokens are requeued. Their timers are
// wrong by the same amount.
const retimed = 5 * time.Second

// learnClock learns the skew from an answer, and reports whether the result has changed. told:
// the status says that the clocks differ.
func (s *connection) learnClock(answer workos.Answer, told bool, now time.Time) bool {
	sample, ok := sampleOf(answer, now)
	if !ok {
		return false
	}
	known, wild := s.clocks.skew.Known(), s.clocks.skew.Wild()
	s.clocks.skew.Learn(sample, told)
	moved := (s.clocks.skew.At(now) - s.clocks.timed).Abs() >= retimed
	if moved {
		s.clocks.timed, s.degraded = s.clocks.skew.At(now), true
	}
	return moved || s.clocks.skew.Known() != known || s.clocks.skew.Wild() != wild
}

const (
	// skewTold is the difference of the clocks from which on the status reports it, because a
	// person should correct the clock. The status then reports it until the difference is at
	// most skewGone.
	skewTold = 30 * time.Second
	skewGone = 20 * time.Second
)

// clockSkewed returns the finding about the difference of the clocks. Nil: it is not known yet
// whether they differ.
func clockSkewed(skew renewal.Skew, told bool, now time.Time) *finding.Finding {
	by := skew.At(now)
	switch {
	case skew.Wild():
		return ptr.To(finding.New(v1alpha1.ClocksDifferReason,
			"The clocks of WorkOS and of the operator are more than a day apart, so the operator goes by its own, "+
				"and tokens may expire before they are renewed: correct the clock of its node"))
	case !skew.Known():
		return nil
	case by.Abs() <= skewGone || by.Abs() <= skewTold && !told:
		return &finding.Finding{}
	}
	than := "behind"
	if by > 0 {
		than = "ahead of"
	}
	return ptr.To(finding.Newf(v1alpha1.ClocksDifferReason,
		"The clock of WorkOS is about %s %s the operator's: tokens are renewed by WorkOS's clock, "+
			"but conditions have the time of the operator's, so correct the clock of its node",
		roughTime(by.Abs()), than))
}

// roughTime formats a duration only as precisely as a person needs it, so that small changes do
// not cause a write of the status.
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
