package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

func TestEventsAreCountedByTypeAndEffect(t *testing.T) {
	counters, registry := newMetrics(t)
	counters.Event(workos.EventConnected, true, 3*time.Second)
	counters.Event(workos.EventConnected, false, -time.Second)
	counters.Event(workos.EventOther, false, 2*time.Hour)
	for _, outcome := range []workos.Outcome{
		workos.OutcomeEvents, workos.OutcomeForbidden, workos.OutcomeNotFound, workos.OutcomeRejected,
		workos.OutcomeUnavailable, workos.OutcomeKeyRejected,
	} {
		counters.Polled(workos.EventsAnswer{Answer: workos.Answer{Outcome: outcome, Sent: true}})
	}
	counters.Polled(workos.EventsAnswer{Answer: workos.Answer{Outcome: workos.OutcomeHeld}})
	want := `
# HELP pipes_operator_event_lag_seconds How old events were when the operator received them.
# TYPE pipes_operator_event_lag_seconds histogram
pipes_operator_event_lag_seconds_bucket{le="1"} 1
pipes_operator_event_lag_seconds_bucket{le="2"} 1
pipes_operator_event_lag_seconds_bucket{le="5"} 2
pipes_operator_event_lag_seconds_bucket{le="10"} 2
pipes_operator_event_lag_seconds_bucket{le="15"} 2
pipes_operator_event_lag_seconds_bucket{le="20"} 2
pipes_operator_event_lag_seconds_bucket{le="30"} 2
pipes_operator_event_lag_seconds_bucket{le="60"} 2
pipes_operator_event_lag_seconds_bucket{le="120"} 2
pipes_operator_event_lag_seconds_bucket{le="300"} 2
pipes_operator_event_lag_seconds_bucket{le="900"} 2
pipes_operator_event_lag_seconds_bucket{le="3600"} 2
pipes_operator_event_lag_seconds_bucket{le="+Inf"} 3
pipes_operator_event_lag_seconds_sum 7203
pipes_operator_event_lag_seconds_count 3
# HELP pipes_operator_event_polls_total Requests for the events of WorkOS, by result: received, refused (WorkOS does not allow or understand it), unavailable (no answer), held (the request has not left).
# TYPE pipes_operator_event_polls_total counter
pipes_operator_event_polls_total{result="held"} 1
pipes_operator_event_polls_total{result="received"} 1
pipes_operator_event_polls_total{result="refused"} 3
pipes_operator_event_polls_total{result="unavailable"} 2
# HELP pipes_operator_events_total Events that WorkOS returned, by type and effect: hinted (a PipesToken asks WorkOS because of it), ignored (it concerns none, or is no news).
# TYPE pipes_operator_events_total counter
pipes_operator_events_total{effect="hinted",type="connected"} 1
pipes_operator_events_total{effect="hinted",type="connection_failed"} 0
pipes_operator_events_total{effect="hinted",type="disconnected"} 0
pipes_operator_events_total{effect="hinted",type="other"} 0
pipes_operator_events_total{effect="hinted",type="reauthorization_needed"} 0
pipes_operator_events_total{effect="ignored",type="connected"} 1
pipes_operator_events_total{effect="ignored",type="connection_failed"} 0
pipes_operator_events_total{effect="ignored",type="disconnected"} 0
pipes_operator_events_total{effect="ignored",type="other"} 1
pipes_operator_events_total{effect="ignored",type="reauthorization_needed"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"pipes_operator_events_total", "pipes_operator_event_polls_total", "pipes_operator_event_lag_seconds"); err != nil {
		t.Error(err)
	}
}
