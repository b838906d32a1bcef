package controllers

import (
	"sync"
	"time"
	"unique"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// Metrics are the Prometheus metrics of the operator. No label contains a user or an
// organization.
type Metrics struct {
	clock     clock.PassiveClock
	perObject bool

	calls, writes   *prometheus.CounterVec
	lateness        prometheus.Histogram
	skew            prometheus.Gauge
	needed, allowed *prometheus.GaugeVec

	mu     sync.Mutex
	tokens map[types.NamespacedName]tokenState
}

// tokenState is the state of one PipesToken that the gauges need. Every PipesToken has a
// tokenState, therefore it is small.
type tokenState struct {
	kind    unique.Handle[tokenKind]
	due     int64 // Unix time in milliseconds; zero: nothing is due
	expires int64 // Unix time in seconds; zero: no expiry
	skew    int32 // seconds that WorkOS's clock is ahead; due and expires use that clock
	every   time.Duration
}

// localExpiry returns when the token expires by the operator's clock, in Unix time.
func (s tokenState) localExpiry() int64 { return s.expires - int64(s.skew) }

// localDue returns when the next renewal is due by the operator's clock.
func (s tokenState) localDue() time.Time {
	return time.UnixMilli(s.due).Add(-time.Duration(s.skew) * time.Second)
}

// tokenKind is the part of the state that many PipesTokens have in common.
type tokenKind struct {
	reason      string // of Ready
	failing     string // the reason of RenewalFailed; empty: renewal does not fail
	environment types.NamespacedName
}

// Renewal says when the next attempt for a PipesToken is due, and how much of the budget of its
// PipesEnvironment its renewals need.
type Renewal struct {
	// Due is the time of the next attempt by WorkOS's clock, which is ahead by Skew. Zero:
	// nothing is due until something changes.
	Due  time.Time
	Skew time.Duration
	// Every is the time between two renewals of the token. Zero: no token is renewed.
	Every       time.Duration
	Environment types.NamespacedName
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

// NewMetrics returns metrics that are registered with registerer. perObject adds one series per
// PipesToken.
func NewMetrics(registerer prometheus.Registerer, clock clock.PassiveClock, perObject bool) (*Metrics, error) {
	m := &Metrics{
		clock: clock, perObject: perObject, tokens: map[types.NamespacedName]tokenState{},
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipes_operator_upstream_calls_total",
			Help: "Answers to requests for a token, by outcome; sent is false for those that were held back before they left.",
		}, []string{"outcome", "sent"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipes_operator_secret_writes_total",
			Help: "Writes of Secrets and rehearsals of them, by result: written, conflict (the Secret had changed), " +
				"rejected (for good), failed (it should pass), changed (by admission). " +
				"A rehearsal counts only when it does not succeed.",
		}, []string{"result"}),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pipes_operator_renewal_lateness_seconds",
			Help:    "How long after they were due renewals were asked for.",
			Buckets: []float64{0.1, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 900},
		}),
		skew: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pipes_operator_upstream_clock_skew_seconds",
			Help: "The clock of WorkOS minus the clock of the operator, from the last answer that told the time.",
		}),
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
	for _, outcome := range workos.Outcomes() {
		// A held call is never sent.
		if outcome != workos.OutcomeHeld {
			m.calls.WithLabelValues(string(outcome), "true")
		}
	}
	for _, result := range writeResults {
		m.writes.WithLabelValues(string(result))
	}
	for _, collector := range []prometheus.Collector{m.calls, m.writes, m.lateness, m.skew, m.needed, m.allowed, m} {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Asked counts an answer. late is the time from when the request was due until it was made. It
// counts only if wasDue is true.
func (m *Metrics) Asked(answer workos.Answer, late time.Duration, wasDue bool) {
	sent := "false"
	if answer.Sent {
		sent = "true"
	}
	m.calls.WithLabelValues(string(answer.Outcome), sent).Inc()
	if answer.Sent && wasDue {
		m.lateness.Observe(late.Seconds())
	}
	if answer.ClockDoubt > 0 {
		m.skew.Set(answer.ClockSkew.Seconds())
	}
}

// writeResult is the result of a write of a Secret, as the value of a label.
type writeResult string

const (
	writeDone     writeResult = "written"
	writeConflict writeResult = "conflict"
	writeRejected writeResult = "rejected"
	writeFailed   writeResult = "failed"
	writeChanged  writeResult = "changed"
)

var writeResults = []writeResult{writeDone, writeConflict, writeRejected, writeFailed, writeChanged}

// resultOf returns the result of a write. found is the finding that the write led to, if any.
func resultOf(found finding.Finding) writeResult {
	switch found.Reason {
	case v1alpha1.SecretRejectedReason:
		return writeRejected
	case v1alpha1.SecretNotWrittenReason:
		return writeFailed
	case v1alpha1.SecretChangedReason:
		return writeChanged
	default:
		return writeDone
	}
}

// Wrote counts a write of a Secret.
func (m *Metrics) Wrote(result writeResult) { m.writes.WithLabelValues(string(result)).Inc() }

// Enter records a PipesToken at the beginning of its first reconcile. If all its reconciles
// fail, the PipesToken is then reported as overdue.
func (m *Metrics) Enter(name types.NamespacedName, status v1alpha1.PipesTokenStatus) {
	m.mu.Lock()
	_, known := m.tokens[name]
	m.mu.Unlock()
	if !known {
		m.Observe(name, status, Renewal{Due: m.clock.Now()})
	}
}

// Expired returns the PipesTokens whose status says that they are ready although their token has
// expired. It returns each PipesToken once, until Observe records its status again.
func (m *Metrics) Expired(now time.Time) (names []types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	second := now.Unix()
	for name, state := range m.tokens {
		if state.expires == 0 || state.localExpiry() > second || state.kind.Value().reason != v1alpha1.TokenSyncedReason {
			continue
		}
		kind := state.kind.Value()
		kind.reason = v1alpha1.TokenExpiredReason
		state.kind = unique.Make(kind)
		m.tokens[name] = state
		names = append(names, name)
	}
	return names
}

// Observe records the state of one PipesToken: its status, and its next renewal.
func (m *Metrics) Observe(name types.NamespacedName, status v1alpha1.PipesTokenStatus, next Renewal) {
	kind := tokenKind{reason: conditions.Ready(status.Conditions).Reason, environment: next.Environment}
	if failed := meta.FindStatusCondition(status.Conditions, v1alpha1.RenewalFailedCondition); failed != nil {
		kind.failing = failed.Reason
	}
	state := tokenState{kind: unique.Make(kind), every: next.Every, skew: int32(next.Skew.Round(time.Second).Seconds())}
	if !next.Due.IsZero() {
		state.due = next.Due.UnixMilli()
	}
	if status.ExpirationTime != nil {
		state.expires = status.ExpirationTime.Unix()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens[name] = state
}

// Forget drops a deleted PipesToken.
func (m *Metrics) Forget(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.tokens, name)
}

// Demand returns how many requests per minute the renewals of an environment need, if all tokens
// are renewed in time.
func (m *Metrics) Demand(environment types.NamespacedName, now time.Time) (perMinute float64) {
	m.mu.Lock()
	var all []renewal.Due
	for _, state := range m.tokens {
		if state.every > 0 && state.kind.Value().environment == environment {
			all = append(all, renewal.Due{At: state.localDue(), Expires: time.Unix(state.localExpiry(), 0), Every: state.every})
		}
	}
	m.mu.Unlock()
	return renewal.Demand(now, all)
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
	m.mu.Lock()
	defer m.mu.Unlock()
	reasons, failing, overdue := map[string]int{}, map[string]int{}, time.Duration(0)
	for name, state := range m.tokens {
		kind := state.kind.Value()
		reasons[kind.reason]++
		if kind.failing != "" {
			failing[kind.failing]++
		}
		if state.due != 0 {
			overdue = max(overdue, now.Sub(state.localDue()))
		}
		if m.perObject && state.expires != 0 {
			metrics <- prometheus.MustNewConstMetric(expirationDesc, prometheus.GaugeValue,
				float64(state.expires), name.Namespace, name.Name)
		}
	}
	for reason, count := range reasons {
		metrics <- prometheus.MustNewConstMetric(tokensDesc, prometheus.GaugeValue, float64(count), reason)
	}
	for reason, count := range failing {
		metrics <- prometheus.MustNewConstMetric(failingDesc, prometheus.GaugeValue, float64(count), reason)
	}
	metrics <- prometheus.MustNewConstMetric(overdueDesc, prometheus.GaugeValue, overdue.Seconds())
}
