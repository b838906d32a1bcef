package fairqueue

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// Metrics are the metrics that every work queue of controller-runtime has, under the same
// names. The label priority of the depth is withdrawal, renewal or ordinary. A nil *Metrics
// records nothing.
type Metrics struct {
	depth             [classes]prometheus.Gauge
	adds, retries     prometheus.Counter
	latency, duration prometheus.Observer
	unfinished        prometheus.Gauge
	longest           prometheus.Gauge

	// added is the part of schedule.added that adds already includes.
	added uint64
}

// NewMetrics returns the metrics of the queue of a controller. controller-runtime has
// registered the collectors with its registry. NewMetrics uses these collectors, which requires
// the same help texts.
func NewMetrics(registerer prometheus.Registerer, controller string) (*Metrics, error) {
	r := &registrar{registerer: registerer, controller: controller}
	m := &Metrics{
		adds: r.counter(metrics.AddsKey, "Total number of adds handled by workqueue"),
		retries: r.counter(metrics.RetriesKey, "Total number of items added to the workqueue with a non-zero delay "+
			"(rate-limited requeues, explicit RequeueAfter or AddAfter calls)"),
		latency:  r.seconds(metrics.QueueLatencyKey, "How long in seconds an item stays in workqueue before being requested"),
		duration: r.seconds(metrics.WorkDurationKey, "How long in seconds processing an item from workqueue takes."),
		unfinished: r.gauge(metrics.UnfinishedWorkKey, "How many seconds of work has been done that "+
			"is in progress and hasn't been observed by work_duration. Large "+
			"values indicate stuck threads. One can deduce the number of stuck "+
			"threads by observing the rate at which this increases."),
		longest: r.gauge(metrics.LongestRunningProcessorKey, "How many seconds has the longest running "+
			"processor for workqueue been running."),
	}
	depth := register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Subsystem: metrics.WorkQueueSubsystem, Name: metrics.DepthKey,
		Help: "Current depth of workqueue by workqueue and priority",
	}, []string{"name", "controller", "priority"}))
	for c := range classes {
		m.depth[c] = depth.WithLabelValues(controller, controller, c.String())
	}
	if err := errors.Join(r.errs...); err != nil {
		return nil, fmt.Errorf("registering the metrics of the queue of %s: %w", controller, err)
	}
	return m, nil
}

// registrar registers collectors, and returns their series for one controller.
type registrar struct {
	registerer prometheus.Registerer
	controller string
	errs       []error
}

var queueLabels = []string{"name", "controller"}

func (r *registrar) counter(name, help string) prometheus.Counter {
	return register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Subsystem: metrics.WorkQueueSubsystem, Name: name, Help: help,
	}, queueLabels)).WithLabelValues(r.controller, r.controller)
}

func (r *registrar) gauge(name, help string) prometheus.Gauge {
	return register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Subsystem: metrics.WorkQueueSubsystem, Name: name, Help: help,
	}, queueLabels)).WithLabelValues(r.controller, r.controller)
}

func (r *registrar) seconds(name, help string) prometheus.Observer {
	return register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Subsystem: metrics.WorkQueueSubsystem, Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(10e-9, 10, 12),
	}, queueLabels)).WithLabelValues(r.controller, r.controller)
}

// register registers a collector. It returns the collector that has this name in the registry,
// which may be an earlier collector.
func register[T prometheus.Collector](r *registrar, collector T) T {
	err := r.registerer.Register(collector)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(T); ok {
			return existing
		}
	}
	if err != nil {
		r.errs = append(r.errs, err)
	}
	return collector
}

// observe records how many objects are ready, and how many have become ready so far.
func (m *Metrics) observe(depth [classes]int, added uint64) {
	if m == nil {
		return
	}
	for c, count := range depth {
		m.depth[c].Set(float64(count))
	}
	m.adds.Add(float64(added - m.added))
	m.added = added
}

func (m *Metrics) picked(waited time.Duration) {
	if m != nil {
		m.latency.Observe(waited.Seconds())
	}
}

func (m *Metrics) finished(took time.Duration) {
	if m != nil {
		m.duration.Observe(took.Seconds())
	}
}

func (m *Metrics) retried() {
	if m != nil {
		m.retries.Inc()
	}
}

func (m *Metrics) running(sum, longest time.Duration) {
	if m != nil {
		m.unfinished.Set(sum.Seconds())
		m.longest.Set(longest.Seconds())
	}
}
