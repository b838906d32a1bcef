// Package metrics exports the Prometheus metrics of the operator. It counts what it is told, and
// reads the rest from the ledger.
package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/pipes-operator/pipes-operator/internal/ledger"
)

// Metrics are the Prometheus metrics of the operator. No label contains a user or an
// organization.
type Metrics struct {
	ledger    *ledger.Ledger
	clock     clock.PassiveClock
	perObject bool

	*upstream
	*events
	writes, audited *prometheus.CounterVec
	needed, allowed *prometheus.GaugeVec
}

var (
	tokensDesc = prometheus.NewDesc("pipes_operator_tokens",
		"PipesTokens by the reason of their Ready condition.", []string{"reason"}, nil)
	failingDesc = prometheus.NewDesc("pipes_operator_renewals_failing",
		"PipesTokens whose token is still valid and cannot be renewed, by the reason of their RenewalFailed condition.",
		[]string{"reason"}, nil)
	overdueDesc = prometheus.NewDesc("pipes_operator_oldest_overdue_renewal_seconds",
		"How long the PipesToken that has waited longest past its due time has waited; 0 when none has. "+
			"It grows without bound when an object has been forgotten.", nil, nil)
	expirationDesc = prometheus.NewDesc("pipes_operator_token_expiration_timestamp_seconds",
		"When the token in the Secret of a PipesToken expires, in Unix time.", []string{"namespace", "name"}, nil)
)

// New returns metrics that are registered with registerer. The gauges of PipesTokens come from
// tokens. perObject adds one series per PipesToken.
func New(
	registerer prometheus.Registerer, tokens *ledger.Ledger, clock clock.PassiveClock, perObject bool,
) (*Metrics, error) {
	m := &Metrics{
		ledger: tokens, clock: clock, perObject: perObject, upstream: newUpstream(), events: newEvents(),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipes_operator_secret_writes_total",
			Help: "Writes of Secrets and rehearsals of them, by result: written, conflict (the Secret had changed), " +
				"rejected (for good), failed (it should pass), changed (by admission). " +
				"A rehearsal counts only when it does not succeed.",
		}, []string{"result"}),
		audited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipes_operator_audit_lines_total",
			Help: "Lines of the audit log, by result: written, lost.",
		}, []string{"result"}),
		needed: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pipes_operator_renewals_needed_per_minute",
			Help: "Requests a minute that it takes to renew the tokens of a PipesEnvironment in time: " +
				"on average, or within the coming hour, whichever is more.",
		}, []string{"namespace", "environment"}),
		allowed: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pipes_operator_requests_allowed_per_minute",
			Help: "The requestsPerMinute of a PipesEnvironment.",
		}, []string{"namespace", "environment"}),
	}
	for _, result := range writeResults {
		m.writes.WithLabelValues(string(result))
	}
	m.Audited(0, 0)
	own := []prometheus.Collector{m.writes, m.audited, m.needed, m.allowed, m}
	for _, collector := range slices.Concat(own, m.upstream.collectors(), m.events.collectors()) {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// WriteResult is the result of a write of a Secret, as the value of a label.
type WriteResult string

// The results of a write, or of a dry run that does not succeed.
const (
	// Written: the Secret is as the operator wrote it.
	Written WriteResult = "written"
	// Conflict: the Secret had changed.
	Conflict WriteResult = "conflict"
	// Rejected: the API server will refuse the same write again.
	Rejected WriteResult = "rejected"
	// Failed: the write should succeed later.
	Failed WriteResult = "failed"
	// Changed: admission has changed the Secret.
	Changed WriteResult = "changed"
)

var writeResults = []WriteResult{Written, Conflict, Rejected, Failed, Changed}

// Wrote counts a write of a Secret.
func (m *Metrics) Wrote(result WriteResult) { m.writes.WithLabelValues(string(result)).Inc() }

// Audited counts lines of the audit log.
func (m *Metrics) Audited(written, lost int) {
	m.audited.WithLabelValues("written").Add(float64(written))
	m.audited.WithLabelValues("lost").Add(float64(lost))
}

// Budget sets the gauges for the requests per minute that the renewals of an environment need,
// and that the environment allows.
func (m *Metrics) Budget(environment types.NamespacedName, needed float64, allowed int) {
	m.needed.WithLabelValues(environment.Namespace, environment.Name).Set(needed)
	m.allowed.WithLabelValues(environment.Namespace, environment.Name).Set(float64(allowed))
}

// ForgetBudget drops a deleted environment.
func (m *Metrics) ForgetBudget(environment types.NamespacedName) {
	m.needed.DeleteLabelValues(environment.Namespace, environment.Name)
	m.allowed.DeleteLabelValues(environment.Namespace, environment.Name)
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- tokensDesc
	descriptions <- failingDesc
	descriptions <- overdueDesc
	descriptions <- expirationDesc
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(metrics chan<- prometheus.Metric) {
	now := m.clock.Now()
	reasons, failing, overdue := map[string]int{}, map[string]int{}, time.Duration(0)
	m.ledger.Each(func(name types.NamespacedName, e ledger.Entry) {
		reasons[e.Reason]++
		if e.Failing != "" {
			failing[e.Failing]++
		}
		if !e.Due.IsZero() {
			overdue = max(overdue, now.Sub(e.LocalDue()))
		}
		if m.perObject && !e.Expires.IsZero() {
			metrics <- prometheus.MustNewConstMetric(expirationDesc, prometheus.GaugeValue,
				float64(e.Expires.Unix()), name.Namespace, name.Name)
		}
	})
	for reason, count := range reasons {
		metrics <- prometheus.MustNewConstMetric(tokensDesc, prometheus.GaugeValue, float64(count), reason)
	}
	for reason, count := range failing {
		metrics <- prometheus.MustNewConstMetric(failingDesc, prometheus.GaugeValue, float64(count), reason)
	}
	metrics <- prometheus.MustNewConstMetric(overdueDesc, prometheus.GaugeValue, overdue.Seconds())
}
