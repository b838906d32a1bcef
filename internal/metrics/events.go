package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// eventMetrics counts the requests for the events of WorkOS, and the events.
type eventMetrics struct {
	polls  *prometheus.CounterVec
	events *prometheus.CounterVec
	age    prometheus.Histogram
}

// The results of a request for events, as the values of a label.
const (
	pollReceived    = "received"
	pollRefused     = "refused"
	pollUnavailable = "unavailable"
	pollHeld        = "held"
)

// The effects of an event, as the values of a label.
const (
	hinted  = "hinted"
	ignored = "ignored"
)

func newEventMetrics() *eventMetrics {
	m := &eventMetrics{
		polls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipes_operator_event_polls_total",
			Help: "Requests for the events of WorkOS, by result: received, refused (WorkOS does not allow or understand it), " +
				"unavailable (no answer), held (the request has not left).",
		}, []string{"result"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipes_operator_events_total",
			Help: "Events that WorkOS returned, by type and effect: hinted (a PipesToken asks WorkOS because of it), " +
				"ignored (it concerns none, or is no news).",
		}, []string{"type", "effect"}),
		age: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pipes_operator_event_lag_seconds",
			Help:    "How old events were when the operator received them.",
			Buckets: []float64{1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 900, 3600},
		}),
	}
	for _, result := range []string{pollReceived, pollRefused, pollUnavailable, pollHeld} {
		m.polls.WithLabelValues(result)
	}
	for _, kind := range workos.EventKinds() {
		m.events.WithLabelValues(string(kind), hinted)
		m.events.WithLabelValues(string(kind), ignored)
	}
	return m
}

func (m *eventMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.polls, m.events, m.age}
}

// Polled counts the answer to a request for events.
func (m *Metrics) Polled(answer workos.EventsAnswer) {
	result := pollUnavailable
	switch {
	case answer.Outcome == workos.OutcomeEvents:
		result = pollReceived
	case !answer.Sent:
		result = pollHeld
	case answer.Misunderstood, answer.Outcome == workos.OutcomeForbidden, answer.Outcome == workos.OutcomeNotFound,
		answer.Outcome == workos.OutcomeRejected:
		result = pollRefused
	}
	m.events.polls.WithLabelValues(result).Inc()
}

// Event counts an event that was received, with its age. heeded: a PipesToken asks WorkOS because
// of it.
func (m *Metrics) Event(kind workos.EventKind, heeded bool, age time.Duration) {
	effect := ignored
	if heeded {
		effect = hinted
	}
	m.events.events.WithLabelValues(string(kind), effect).Inc()
	m.events.age.Observe(age.Seconds())
}
