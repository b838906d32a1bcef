package metrics

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// upstream counts and times the calls to WorkOS.
type upstream struct {
	calls     *prometheus.CounterVec
	durations *prometheus.HistogramVec
	lateness  prometheus.Histogram
	skew      prometheus.Gauge
	slugs     slugs
}

func newUpstream() *upstream {
	u := &upstream{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipes_operator_upstream_calls_total",
			Help: "Answers to requests for a token, by outcome; sent is false for those that were held back before they left. " +
				"slug is other for slugs that have not yielded a token in this process, and beyond the first " +
				strconv.Itoa(mostSlugs) + ".",
		}, []string{"outcome", "sent", "slug"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "pipes_operator_upstream_call_duration_seconds",
			Help:    "How long WorkOS took to answer the calls that were sent, by outcome.",
			Buckets: []float64{0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30},
		}, []string{"outcome"}),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pipes_operator_renewal_lateness_seconds",
			Help:    "How long after they were due renewals were asked for.",
			Buckets: []float64{0.1, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 900},
		}),
		skew: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pipes_operator_upstream_clock_skew_seconds",
			Help: "The clock of WorkOS minus the clock of the operator, from the last answer that told the time.",
		}),
	}
	for _, outcome := range workos.Outcomes() {
		// A held call is never sent.
		if outcome != workos.OutcomeHeld {
			u.calls.WithLabelValues(string(outcome), "true", otherSlug)
			u.durations.WithLabelValues(string(outcome))
		}
	}
	return u
}

func (u *upstream) collectors() []prometheus.Collector {
	return []prometheus.Collector{u.calls, u.durations, u.lateness, u.skew}
}

// Asked counts an answer for an integration. late is the time from when the request was due until
// it was made. It counts only if wasDue is true.
func (u *upstream) Asked(slug string, answer workos.Answer, late time.Duration, wasDue bool) {
	label := u.slugs.label(slug, answer.Sent && answer.Outcome == workos.OutcomeToken)
	u.calls.WithLabelValues(string(answer.Outcome), strconv.FormatBool(answer.Sent), label).Inc()
	if answer.Took > 0 {
		u.durations.WithLabelValues(string(answer.Outcome)).Observe(answer.Took.Seconds())
	}
	if answer.Sent && wasDue {
		u.lateness.Observe(late.Seconds())
	}
	if answer.ClockDoubt > 0 {
		u.skew.Set(answer.ClockSkew.Seconds())
	}
}

const (
	// mostSlugs limits the values of the label slug.
	mostSlugs = 64
	// otherSlug stands for all slugs without a value of their own.
	otherSlug = "other"
)

// slugs are the values of the label slug. Tenants choose slugs. Therefore only a slug that has
// yielded a token becomes a value: such a slug is an integration at WorkOS.
type slugs struct {
	mu    sync.Mutex
	known sets.Set[string]
}

// label returns the value for a slug. yielded: the slug has just yielded a token.
func (s *slugs) label(slug string, yielded bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if yielded && s.known.Len() < mostSlugs {
		if s.known == nil {
			s.known = sets.New[string]()
		}
		s.known.Insert(slug)
	}
	if s.known.Has(slug) {
		return slug
	}
	return otherSlug
}
