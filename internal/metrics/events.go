package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// EventType is the type of an event of WorkOS, as the value of a label.
type EventType string

// The types of events.
const (
	EventConnected             EventType = "connected"
	EventDisconnected          EventType = "disconnected"
	EventReauthorizationNeeded EventType = "reauthorization_needed"
	EventConnectionFailed      EventType = "connection_failed"
	// EventOther stands for all types that the operator does not know.
	EventOther EventType = "other"
)

// EventEffect is the effect of an event, as the value of a label.
type EventEffect string

// The effects of an event.
const (
	// EventHinted: the event brought forward the call for at least one PipesToken.
	EventHinted EventEffect = "hinted"
	// EventIgnored: the event concerned no PipesToken.
	EventIgnored EventEffect = "ignored"
)

// PollResult is the result of a poll for events, as the value of a label.
type PollResult string

// The results of a poll.
const (
	// PollReceived: WorkOS returned a list of events. The list may be empty.
	PollReceived PollResult = "received"
	// PollRefused: WorkOS refused the request.
	PollRefused PollResult = "refused"
	// PollUnavailable: WorkOS could not be reached, or it failed.
	PollUnavailable PollResult = "unavailable"
	// PollHeld: the poll was not sent, because the budget or WorkOS held it back.
	PollHeld PollResult = "held"
)

var (
	eventTypes = []EventType{
		EventConnected, EventDisconnected, EventReauthorizationNeeded, EventConnectionFailed, EventOther,
	}
	eventEffects = []EventEffect{EventHinted, EventIgnored}
	pollResults  = []PollResult{PollReceived, PollRefused, PollUnavailable, PollHeld}
)

// events counts the events of WorkOS and the polls for them.
type events struct {
	received, polls *prometheus.CounterVec
	lag             prometheus.Histogram
}

func newEvents() *events {
	e := &events{
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipes_operator_events_total",
			Help: "Events of WorkOS, by type and effect: hinted (the event brought forward a call for a token), " +
				"ignored (it concerned no PipesToken).",
		}, []string{"type", "effect"}),
		polls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipes_operator_event_polls_total",
			Help: "Polls for events, by result: received, refused, unavailable, held (not sent).",
		}, []string{"result"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pipes_operator_event_lag_seconds",
			Help:    "The time from when WorkOS created an event until the operator received it.",
			Buckets: []float64{0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 900, 3600},
		}),
	}
	for _, kind := range eventTypes {
		for _, effect := range eventEffects {
			e.received.WithLabelValues(string(kind), string(effect))
		}
	}
	for _, result := range pollResults {
		e.polls.WithLabelValues(string(result))
	}
	return e
}

func (e *events) collectors() []prometheus.Collector {
	return []prometheus.Collector{e.received, e.polls, e.lag}
}

// EventReceived counts an event. lag is the time since WorkOS created it. A negative lag, which
// comes from clocks that differ, counts as zero.
func (e *events) EventReceived(kind EventType, effect EventEffect, lag time.Duration) {
	e.received.WithLabelValues(string(kind), string(effect)).Inc()
	e.lag.Observe(max(0, lag).Seconds())
}

// EventsPolled counts a poll.
func (e *events) EventsPolled(result PollResult) { e.polls.WithLabelValues(string(result)).Inc() }
