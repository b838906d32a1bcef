package metrics_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

const callsTotal, callDuration = "pipes_operator_upstream_calls_total", "pipes_operator_upstream_call_duration_seconds"

var (
	withToken = workos.Answer{Outcome: workos.OutcomeToken, Sent: true, Took: 300 * time.Millisecond}
	notFound  = workos.Answer{Outcome: workos.OutcomeNotFound, Sent: true, Took: 20 * time.Millisecond}
	held      = workos.Answer{Outcome: workos.OutcomeHeld}
)

// callsOf returns the calls that have happened, as "outcome sent slug".
func callsOf(t *testing.T, registry prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]float64{}
	for _, family := range families {
		if family.GetName() != callsTotal {
			continue
		}
		for _, metric := range family.GetMetric() {
			if metric.GetCounter().GetValue() > 0 {
				var values []string
				for _, label := range metric.GetLabel() {
					values = append(values, label.GetValue())
				}
				calls[strings.Join(values, " ")] = metric.GetCounter().GetValue()
			}
		}
	}
	return calls
}

// Tenants choose slugs, so a slug that only they know must not become the value of a label.
func TestASlugIsALabelOnceItHasYieldedAToken(t *testing.T) {
	counters, registry := newMetrics(t)
	counters.Asked("github", notFound, 0, false)
	counters.Asked("github", workos.Answer{Outcome: workos.OutcomeToken}, 0, false)
	counters.Asked("github", withToken, 0, false)
	counters.Asked("github", notFound, 0, false)
	counters.Asked("github", held, 0, false)
	counters.Asked("my-own", notFound, 0, false)
	want := map[string]float64{
		"not_found true other": 2, "token false other": 1,
		"token true github": 1, "not_found true github": 1, "held false github": 1,
	}
	if got := callsOf(t, registry); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSlugsBeyondTheFirst64AreOther(t *testing.T) {
	counters, registry := newMetrics(t)
	for i := range 100 {
		counters.Asked(fmt.Sprintf("slug-%d", i), withToken, 0, false)
	}
	counters.Asked("slug-3", withToken, 0, false)
	got := callsOf(t, registry)
	if len(got) != 65 || got["token true other"] != 36 || got["token true slug-3"] != 2 || got["token true slug-63"] != 1 {
		t.Errorf("got %v", got)
	}
}

// An answer that several callers share has taken its time only once.
func TestTheDurationOfACallCountsIfItWasSent(t *testing.T) {
	counters, registry := newMetrics(t)
	shared := withToken
	shared.Took = 0
	for _, answer := range []workos.Answer{withToken, shared, notFound, held} {
		counters.Asked("github", answer, 0, false)
	}
	want := `
# HELP pipes_operator_upstream_call_duration_seconds How long WorkOS took to answer the calls that were sent, by outcome.
# TYPE pipes_operator_upstream_call_duration_seconds histogram
`
	for _, outcome := range workos.Outcomes() {
		if outcome == workos.OutcomeHeld {
			continue
		}
		for _, bucket := range []float64{0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30} {
			count := 0
			if outcome == workos.OutcomeToken && bucket >= 0.5 || outcome == workos.OutcomeNotFound {
				count = 1
			}
			want += fmt.Sprintf("%s_bucket{outcome=%q,le=\"%g\"} %d\n", callDuration, outcome, bucket, count)
		}
		sum, count := 0.0, 0
		switch outcome {
		case workos.OutcomeToken:
			sum, count = 0.3, 1
		case workos.OutcomeNotFound:
			sum, count = 0.02, 1
		}
		want += fmt.Sprintf("%s_bucket{outcome=%q,le=\"+Inf\"} %d\n%s_sum{outcome=%q} %g\n%s_count{outcome=%q} %d\n",
			callDuration, outcome, count, callDuration, outcome, sum, callDuration, outcome, count)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), callDuration); err != nil {
		t.Error(err)
	}
}
