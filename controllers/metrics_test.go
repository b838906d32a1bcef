package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/finding"
)

func TestGaugesFollowTheTokens(t *testing.T) {
	registry, clock := prometheus.NewRegistry(), testingclock.NewFakePassiveClock(noon)
	metrics, err := NewMetrics(registry, clock, true)
	if err != nil {
		t.Fatal(err)
	}
	name := func(n string) types.NamespacedName { return types.NamespacedName{Namespace: "agents", Name: n} }
	ready := func(reason string, more ...metav1.Condition) v1alpha1.PipesTokenStatus {
		return v1alpha1.PipesTokenStatus{Conditions: append(more, metav1.Condition{Type: v1alpha1.ReadyCondition, Reason: reason})}
	}
	synced := ready(v1alpha1.TokenSyncedReason, metav1.Condition{Type: v1alpha1.RenewalFailedCondition, Reason: v1alpha1.RateLimitedReason})
	synced.ExpirationTime = &metav1.Time{Time: noon.Add(time.Hour)}
	metrics.Observe(name("synced"), synced, Renewal{Due: noon.Add(-3 * time.Second)})
	metrics.Observe(name("lost"), ready(v1alpha1.NotInstalledReason), Renewal{Due: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)})
	metrics.Observe(name("denied"), ready(v1alpha1.NotGrantedReason), Renewal{})
	metrics.Observe(name("gone"), ready(v1alpha1.NotGrantedReason), Renewal{Due: noon.Add(-time.Hour)})
	metrics.Forget(name("gone"))
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

// The watch for expired tokens calls Expired twice a second, and must not report the same token
// again.
func TestATokenThatExpiredIsReportedOnce(t *testing.T) {
	metrics, err := NewMetrics(prometheus.NewRegistry(), testingclock.NewFakePassiveClock(noon), true)
	if err != nil {
		t.Fatal(err)
	}
	name := types.NamespacedName{Namespace: "agents", Name: "alice"}
	status := func(expires time.Time) v1alpha1.PipesTokenStatus {
		return v1alpha1.PipesTokenStatus{
			Conditions:     []metav1.Condition{{Type: v1alpha1.ReadyCondition, Reason: v1alpha1.TokenSyncedReason}},
			ExpirationTime: &metav1.Time{Time: expires},
		}
	}
	metrics.Observe(name, status(noon.Add(time.Minute)), Renewal{})
	for _, step := range []struct {
		at   time.Duration
		want int
	}{{59 * time.Second, 0}, {time.Minute, 1}, {time.Minute, 0}, {time.Hour, 0}} {
		if got := metrics.Expired(noon.Add(step.at)); len(got) != step.want {
			t.Errorf("after %s: %v, want %d", step.at, got, step.want)
		}
	}
	metrics.Observe(name, status(noon.Add(2*time.Hour)), Renewal{})
	if got := metrics.Expired(noon.Add(2 * time.Hour)); len(got) != 1 {
		t.Errorf("the next token: %v", got)
	}
	metrics.Observe(name, v1alpha1.PipesTokenStatus{Conditions: status(noon).Conditions}, Renewal{})
	if got := metrics.Expired(noon.Add(9 * time.Hour)); len(got) != 0 {
		t.Errorf("a token without an expiry: %v", got)
	}
}

func TestWritesOfSecretsAreCountedByResult(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics, err := NewMetrics(registry, testingclock.NewFakePassiveClock(noon), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{"", v1alpha1.SecretRejectedReason, v1alpha1.SecretNotWrittenReason, v1alpha1.SecretNotWrittenReason, v1alpha1.SecretChangedReason} {
		metrics.Wrote(resultOf(finding.Finding{Reason: reason}))
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
