package eventfeed

import (
	"time"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// soon is the time until the next request if there is more to ask for at once.
const soon = time.Millisecond

// receive updates the stream from an answer, and returns the time until the next request.
func (s *stream) receive(answer workos.EventsAnswer, interval time.Duration, now time.Time) time.Duration {
	switch {
	case answer.Outcome == workos.OutcomeEvents:
		s.problem, s.answered, s.failing, s.lost = finding.Finding{}, true, time.Time{}, time.Time{}
		s.newer = s.newer || !s.basic
		s.cursor = s.cursor.received(answer, now)
		if answer.More {
			return soon
		}
		return interval
	case !answer.Sent:
		// The request waits for its turn. That says nothing about the events.
		return max(answer.RetryAfter, soon)
	case answer.Misunderstood && s.retreat():
		return soon
	case refusals[answer.Outcome]:
		s.refuse(answer, now)
		return refusedInterval
	default:
		s.fail(unavailable(answer), now)
		return max(interval, answer.RetryAfter)
	}
}

// refusals are the outcomes after which a person has to change something at WorkOS.
var refusals = map[workos.Outcome]bool{
	workos.OutcomeForbidden: true, workos.OutcomeNotFound: true, workos.OutcomeRejected: true,
}

// retreat changes the next request after WorkOS has refused one that it does not understand. It
// reports whether there is something to change: first the newer types of events, unless WorkOS has
// accepted them before, and then the event that the cursor points to, which may be too old.
func (s *stream) retreat() bool {
	switch {
	case !s.basic && !s.newer:
		s.basic = true
		return true
	case s.cursor.after != "":
		s.cursor = cursor{}
		return true
	default:
		return false
	}
}

func (s *stream) refuse(answer workos.EventsAnswer, now time.Time) {
	found := finding.New(v1alpha1.EventsRefusedReason, "WorkOS refuses the requests for events, so users who connect "+
		"are noticed later: check that the API key may read events, or set spec.events.disabled to true")
	found.Quote, found.RequestID = conditions.Printable(answer.Message), answer.RequestID
	if found.Repeats(s.problem, false) {
		found = s.problem // the log has every request ID
	}
	s.lose(found, now)
}

// fail records a request that has failed. The events count as lost once the requests have failed
// for some time, or if this process has never received any.
func (s *stream) fail(found finding.Finding, now time.Time) {
	if s.failing.IsZero() || now.Before(s.failing) {
		s.failing = now
	}
	if now.Sub(s.failing) >= outage {
		if found.Repeats(s.problem, false) {
			found = s.problem
		}
		s.lose(found, now)
	}
}

func (s *stream) lose(found finding.Finding, now time.Time) {
	if !s.problem.Present() && s.answered {
		s.lost = now
	}
	s.problem, s.answered = found, true
}

func unavailable(answer workos.EventsAnswer) finding.Finding {
	message := "WorkOS does not answer the requests for events, so users who connect are noticed later"
	if answer.Outcome == workos.OutcomeKeyRejected {
		message = "WorkOS refuses the API key, so users who connect are noticed later"
	}
	found := finding.New(v1alpha1.EventsUnavailableReason, message)
	found.Quote, found.RequestID = conditions.Printable(answer.Message), answer.RequestID
	return found
}
