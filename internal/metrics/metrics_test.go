package metrics_test

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/ledger"
	"github.com/pipes-operator/pipes-operator/internal/metrics"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newMetrics(t *testing.T) (*metrics.Metrics, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	counters, err := metrics.New(registry, &ledger.Ledger{}, testingclock.NewFakePassiveClock(noon), true)
	if err != nil {
		t.Fatal(err)
	}
	return counters, registry
}

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
	counters, registry := newMetrics(t)
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

func TestLinesOfTheAuditLogAreCounted(t *testing.T) {
	counters, registry := newMetrics(t)
	counters.Audited(3, 0)
	counters.Audited(0, 2)
	want := `
# HELP pipes_operator_audit_lines_total Lines of the audit log, by result: written, lost.
# TYPE pipes_operator_audit_lines_total counter
pipes_operator_audit_lines_total{result="lost"} 2
pipes_operator_audit_lines_total{result="written"} 3
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "pipes_operator_audit_lines_total"); err != nil {
		t.Error(err)
	}
}

func TestTheBuildIsALabel(t *testing.T) {
	registry := prometheus.NewRegistry()
	if err := metrics.RegisterBuild(registry, "v1.2.3", ""); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`
# HELP pipes_operator_build_info 1, with the version of the operator, its commit and the version of Go as labels.
# TYPE pipes_operator_build_info gauge
pipes_operator_build_info{commit="unknown",goversion=%q,version="v1.2.3"} 1
`, runtime.Version())
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// Names follow the rules of Prometheus: base units, and _total for counters only.
func TestNamesFollowTheRulesOfPrometheus(t *testing.T) {
	_, registry := newMetrics(t)
	if err := metrics.RegisterBuild(registry, "v1.2.3", "abc"); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}

// docs/reference/metrics.md lists all metrics, with their labels.
func TestTheDocumentationListsEveryMetric(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, registry := newMetrics(t)
	if err := metrics.RegisterBuild(registry, "v1.2.3", "abc"); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		kind := strings.ToLower(family.GetType().String())
		var labels []string
		for _, label := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, label.GetName())
		}
		row := regexp.MustCompile("(?m)^\\| `" + family.GetName() + "(?:{([a-z,]+)})?` \\| " + kind + " \\|").FindStringSubmatch(string(page))
		if row == nil {
			t.Errorf("there is no row for %s, a %s", family.GetName(), kind)
			continue
		}
		documented := strings.Split(row[1], ",")
		slices.Sort(documented)
		if strings.Join(documented, ",") != strings.Join(labels, ",") {
			t.Errorf("%s has labels %v, the row has %v", family.GetName(), labels, documented)
		}
	}
}
