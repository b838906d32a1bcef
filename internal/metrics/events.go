package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// events counts the requests for the events of WorkOS, and the events.
type events struct {
	polls, received *prometheus.CounterVec
	lag             prometheus.Histogram
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

func newEvents() *events {
	e := &events{
		polls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipes_operator_event_polls_total",
			Help: "Requests for the events of WorkOS, by result: received, refused (WorkOS does not allow or understand it), " +
				"unavailable (no answer), held (the request has not left).",
		}, []string{"result"}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipes_operator_events_total",
			Help: "Events that WorkOS returned, by type and effect: hinted (a PipesToken asks WorkOS because of it), " +
				"ignored (it concerns none, or is no news).",
		}, []string{"type", "effect"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pipes_operator_event_lag_seconds",
			Help:    "How old events were when the operator received them.",
			Buckets: []float64{1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 900, 3600},
		}),
	}
	for _, result := range []string{pollReceived, pollRefused, pollUnavailable, pollHeld} {
		e.polls.WithLabelValues(result)
	}
	for _, kind := range workos.EventKinds() {
		e.received.WithLabelValues(string(kind), hinted)
		e.received.WithLabelValues(string(kind), ignored)
	}
	return e
}

func (e *events) collectors() []prometheus.Collector {
	return []prometheus.Collector{e.polls, e.received, e.lag}
}

// Polled counts the answer to a request for events.
func (e *events) Polled(answer workos.EventsAnswer) {
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
	e.polls.WithLabelValues(result).Inc()
}

// Event counts an event that was received, with its age. heeded: a PipesToken asks WorkOS because
// of it.
func (e *events) Event(kind workos.EventKind, heeded bool, age time.Duration) {
	effect := ignored
	if heeded {
		effect = hinted
	}
	e.received.WithLabelValues(string(kind), effect).Inc()
	e.lag.Observe(max(0, age).Seconds())
}
