package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pipes-operator/pipes-operator/internal/metrics"
)

func TestEventsAreCountedByTypeAndEffect(t *testing.T) {
	counters, registry := newMetrics(t)
	counters.EventReceived(metrics.EventConnected, metrics.EventHinted, 3*time.Second)
	counters.EventReceived(metrics.EventConnected, metrics.EventIgnored, -time.Second)
	counters.EventReceived(metrics.EventOther, metrics.EventIgnored, 2*time.Hour)
	counters.EventsPolled(metrics.PollReceived)
	counters.EventsPolled(metrics.PollHeld)
	want := `
# HELP pipes_operator_event_lag_seconds The time from when WorkOS created an event until the operator received it.
# TYPE pipes_operator_event_lag_seconds histogram
pipes_operator_event_lag_seconds_bucket{le="0.5"} 1
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
# HELP pipes_operator_event_polls_total Polls for events, by result: received, refused, unavailable, held (not sent).
# TYPE pipes_operator_event_polls_total counter
pipes_operator_event_polls_total{result="held"} 1
pipes_operator_event_polls_total{result="received"} 1
pipes_operator_event_polls_total{result="refused"} 0
pipes_operator_event_polls_total{result="unavailable"} 0
# HELP pipes_operator_events_total Events of WorkOS, by type and effect: hinted (the event brought forward a call for a token), ignored (it concerned no PipesToken).
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
