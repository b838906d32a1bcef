package fairqueue

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// controller-runtime has registered collectors with these names. With other help texts or
// labels, the queue could not share them.
func TestTheMetricsAreThoseOfControllerRuntime(t *testing.T) {
	m, err := NewMetrics(metrics.Registry, "fairqueue-test")
	if err != nil {
		t.Fatal(err)
	}
	clock := testingclock.NewFakeClock(time.Unix(1e9, 0))
	q := New(Options{RateLimiter: limiter(), Clock: clock, Metrics: m})
	defer q.ShutDown()
	q.AddWithOpts(priorityqueue.AddOpts{Priority: ptr.To(Withdrawal)}, named("tenant", "a"))
	q.Add(named("tenant", "b"))
	q.AddRateLimited(named("tenant", "c"))
	clock.Step(time.Second)
	q.Get()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if labels["controller"] == "fairqueue-test" {
				value := metric.GetGauge().GetValue() + metric.GetCounter().GetValue() + float64(metric.GetHistogram().GetSampleCount())
				seen[strings.TrimSuffix(family.GetName()+" "+labels["priority"], " ")] = value
			}
		}
	}
	for name, want := range map[string]float64{
		"workqueue_depth withdrawal": 0, "workqueue_depth renewal": 0, "workqueue_depth ordinary": 2,
		"workqueue_adds_total": 3, "workqueue_retries_total": 1, "workqueue_queue_duration_seconds": 1,
		"workqueue_work_duration_seconds": 0,
	} {
		if got, ok := seen[name]; !ok || got != want {
			t.Errorf("%s is %v (there: %v), want %v", name, got, ok, want)
		}
	}
}

func TestMetricsTellOfWhatIsStillRunning(t *testing.T) {
	m, err := NewMetrics(prometheus.NewRegistry(), "test")
	if err != nil {
		t.Fatal(err)
	}
	clock := testingclock.NewFakeClock(time.Unix(1e9, 0))
	q := New(Options{RateLimiter: limiter(), Clock: clock, Metrics: m})
	defer q.ShutDown()
	q.Add(named("tenant", "a"))
	q.Get()
	clock.Step(2 * time.Second)
	q.Add(named("tenant", "b"))
	q.Get()
	clock.Step(3 * time.Second)
	q.observeRunning()
	if sum, longest := testutil.ToFloat64(m.unfinished), testutil.ToFloat64(m.longest); sum != 8 || longest != 5 {
		t.Errorf("%v s unfinished, the longest %v s; want 8 and 5", sum, longest)
	}
	q.Done(named("tenant", "a"))
	q.observeRunning()
	if sum, longest := testutil.ToFloat64(m.unfinished), testutil.ToFloat64(m.longest); sum != 3 || longest != 3 {
		t.Errorf("%v s unfinished, the longest %v s; want 3 and 3", sum, longest)
	}
}

func TestMetricsThatCannotBeRegisteredAreAnError(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "workqueue_depth", Help: "something else"}))
	if _, err := NewMetrics(registry, "test"); err == nil || !strings.Contains(err.Error(), "queue of test") {
		t.Errorf("error is %v", err)
	}
}
