package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/ledger"
	"github.com/pipes-operator/pipes-operator/internal/metrics"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestGaugesFollowTheTokens(t *testing.T) {
	registry, clock, tokens := prometheus.NewRegistry(), testingclock.NewFakePassiveClock(noon), &ledger.Ledger{}
	if _, err := metrics.New(registry, tokens, clock, true); err != nil {
		t.Fatal(err)
	}
	name := func(n string) types.NamespacedName { return types.NamespacedName{Namespace: "agents", Name: n} }
	tokens.Record(name("synced"), ledger.Entry{
		Reason: v1alpha1.TokenSyncedReason, Failing: v1alpha1.RateLimitedReason, Due: noon.Add(-3 * time.Second), Expires: noon.Add(time.Hour),
	})
	tokens.Record(name("lost"), ledger.Entry{Reason: v1alpha1.NotInstalledReason, Due: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)})
	tokens.Record(name("denied"), ledger.Entry{Reason: v1alpha1.NotGrantedReason})
	tokens.Record(name("gone"), ledger.Entry{Reason: v1alpha1.NotGrantedReason, Due: noon.Add(-time.Hour)})
	tokens.Forget(name("gone"))
	clock.SetTime(noon.Add(2 * time.Second))

	want := `
# HELP pipes_operator_oldest_overdue_renewal_seconds How long the PipesToken that has waited longest past its due time has waited; 0 when none has. It grows without bound when an object has been forgotten.
# TYPE pipes_operator_oldest_overdue_renewal_seconds gauge
pipes_operator_oldest_overdue_renewal_seconds 5
# HELP pipes_operator_renewals_failing PipesTokens whose token is still valid and cannot be renewed, by the reason of their RenewalFailed condition.
# TYPE pipes_operator_renewals_failing gauge
pipes_operator_renewals_failing{reason="RateLimited"} 1
# HELP pipes_operator_token_expiration_timestamp_seconds When the token in the Secret of a PipesToken expires, in Unix time.
# TYPE pipes_operator_token_expiration_timestamp_seconds gauge
pipes_operator_token_expiration_timestamp_seconds{name="synced",namespace="agents"} 1.7954388e+09
# HELP pipes_operator_tokens PipesTokens by the reason of their Ready condition.
# TYPE pipes_operator_tokens gauge
pipes_operator_tokens{reason="NotGranted"} 1
pipes_operator_tokens{reason="NotInstalled"} 1
pipes_operator_tokens{reason="TokenSynced"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"pipes_operator_oldest_overdue_renewal_seconds", "pipes_operator_renewals_failing",
		"pipes_operator_token_expiration_timestamp_seconds", "pipes_operator_tokens"); err != nil {
		t.Error(err)
	}
}

func TestWritesOfSecretsAreCountedByResult(t *testing.T) {
	registry := prometheus.NewRegistry()
	counters, err := metrics.New(registry, &ledger.Ledger{}, testingclock.NewFakePassiveClock(noon), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range []metrics.WriteResult{metrics.Written, metrics.Rejected, metrics.Failed, metrics.Failed, metrics.Changed} {
		counters.Wrote(result)
	}
	want := `
# HELP pipes_operator_secret_writes_total Writes of Secrets and rehearsals of them, by result: written, conflict (the Secret had changed), rejected (for good), failed (it should pass), changed (by admission). A rehearsal counts only when it does not succeed.
# TYPE pipes_operator_secret_writes_total counter
pipes_operator_secret_writes_total{result="changed"} 1
pipes_operator_secret_writes_total{result="conflict"} 0
pipes_operator_secret_writes_total{result="failed"} 2
pipes_operator_secret_writes_total{result="rejected"} 1
pipes_operator_secret_writes_total{result="written"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "pipes_operator_secret_writes_total"); err != nil {
		t.Error(err)
	}
}

func TestEventsAreCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := metrics.New(registry, &ledger.Ledger{}, clock.RealClock{}, false)
	if err != nil {
		t.Fatal(err)
	}
	sent := func(outcome workos.Outcome) workos.EventsAnswer {
		return workos.EventsAnswer{Answer: workos.Answer{Outcome: outcome, Sent: true}}
	}
	for _, answer := range []workos.EventsAnswer{
		sent(workos.OutcomeEvents), sent(workos.OutcomeForbidden), sent(workos.OutcomeNotFound), sent(workos.OutcomeRejected),
		sent(workos.OutcomeUnavailable), sent(workos.OutcomeKeyRejected), {Answer: workos.Answer{Outcome: workos.OutcomeHeld}},
	} {
		m.Polled(answer)
	}
	m.Event(workos.EventConnected, true, 3*time.Second)
	m.Event(workos.EventConnected, false, time.Hour)
	m.Event(workos.EventOther, false, 0)
	for want, names := range map[string][]string{
		`# HELP pipes_operator_event_polls_total Requests for the events of WorkOS, by result: received, refused (WorkOS does not allow or understand it), unavailable (no answer), held (the request has not left).
# TYPE pipes_operator_event_polls_total counter
pipes_operator_event_polls_total{result="held"} 1
pipes_operator_event_polls_total{result="received"} 1
pipes_operator_event_polls_total{result="refused"} 3
pipes_operator_event_polls_total{result="unavailable"} 2
`: {"pipes_operator_event_polls_total"},
	} {
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
			t.Error(err)
		}
	}
	for labels, want := range map[[2]string]float64{{"connected", "hinted"}: 1, {"connected", "ignored"}: 1, {"other", "ignored"}: 1, {"disconnected", "hinted"}: 0} {
		if got := counted(t, registry, "pipes_operator_events_total", labels); got != want {
			t.Errorf("%v: got %v, want %v", labels, got, want)
		}
	}
}

// counted returns the value of a counter with the labels effect and type.
func counted(t *testing.T, registry *prometheus.Registry, name string, labels [2]string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if l := metric.GetLabel(); family.GetName() == name && l[0].GetValue() == labels[1] && l[1].GetValue() == labels[0] {
				return metric.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no %s with %v", name, labels)
	return 0
}
