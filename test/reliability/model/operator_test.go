//go:build reliability

package model_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/controllers/pipesenvironment"
	"github.com/pipes-operator/pipes-operator/controllers/pipestoken"
	"github.com/pipes-operator/pipes-operator/internal/connection"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
	"github.com/pipes-operator/pipes-operator/internal/ledger"
	"github.com/pipes-operator/pipes-operator/internal/liveness"
	"github.com/pipes-operator/pipes-operator/internal/metrics"
	"github.com/pipes-operator/pipes-operator/internal/workos"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness/walltime"
)

var kubeScheme = func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return scheme
}()

// operator is one process of the operator: its real controllers with their real watches, its own
// cache and its own memory. Only the reconcile that has the turn runs; everything else waits.
type operator struct {
	world *world
	id    int
	view  *view
	mu    sync.Mutex // guards queues while the controllers start
	// queues has one queue for each controller: pipestoken and pipesenvironment.
	queues   map[string]*gatedQueue
	watchdog *liveness.Watchdog
	// tokens is the reconciler of PipesTokens. Events of WorkOS are its hints.
	tokens  *pipestoken.Reconciler
	metrics *prometheus.Registry
	// paused gives the turn back to the model. manned signals that the workers of a controller
	// run.
	paused, manned chan struct{}
	// pass is the reconcile that has the turn, or had it last. frozen are the reconciles that
	// have been stopped between two requests.
	pass   *pass
	frozen []*pass

	// skew is how far the clock of the node is ahead. suspended is for how long the node has
	// stood still.
	skew, suspended time.Duration
	// dead: the process has been killed. Its later requests have no effect.
	dead bool
	// wrote is, for each kind, the length of the history after the process's own last write.
	wrote map[kind]int

	stop    context.CancelFunc
	running sync.WaitGroup
	// sent are the times of its calls to WorkOS, by API key. held is the time before which it may
	// make no call, by API key.
	sent map[string][]time.Time
	held map[string]time.Time
	// wasted counts, for each PipesToken, the answers of WorkOS in a row that admission kept out of
	// the Secret.
	wasted map[types.NamespacedName]int
}

// newOperator starts a process. Its caches contain the state of the API server after the first at
// changes of the history.
func newOperator(w *world, at int) *operator {
	w.started++
	o := &operator{
		world: w, id: w.started, view: newView(w.server, at), queues: map[string]*gatedQueue{},
		paused: make(chan struct{}), manned: make(chan struct{}, len(controllerNames)), wrote: map[kind]int{},
		sent: map[string][]time.Time{}, held: map[string]time.Time{}, wasted: map[types.NamespacedName]int{},
	}
	runnables := &starter{operator: o}
	o.setUp(runnables)
	ctx, cancel := context.WithCancel(context.Background())
	o.stop = cancel
	for _, runnable := range runnables.list {
		o.running.Go(func() {
			if err := runnable.Start(ctx); err != nil {
				panic(err)
			}
		})
	}
	for range controllerNames {
		<-o.manned
	}
	o.view.started()
	return o
}

var controllerNames = []string{"pipesenvironment", "pipestoken"}

// setUp wires the operator as cmd/pipes-operator does.
func (o *operator) setUp(manager manager.Manager) {
	secrets, err := pipestoken.NewSecretClient(&rest.Config{Host: "https://stand-in", QPS: -1}, &http.Client{Transport: o.secretTransport()})
	o.world.must(err)
	o.metrics = prometheus.NewRegistry()
	tokensDue := &ledger.Ledger{}
	counters, err := metrics.New(o.metrics, tokensDue, wall{o}, true)
	o.world.must(err)
	connections := &connection.Registry{
		Reader:       liveReader{operator: o},
		Upstream:     workos.New(workos.Options{Transport: o.upstreamTransport(), Clock: wall{o}, Timeout: time.Hour}),
		AllowedHosts: []string{upstreamHost},
	}
	api := &apiClient{operator: o}
	o.watchdog = liveness.NewWatchdog(monotonic{o}, maxFrozen+1, fairqueue.MaxErrorBackoff)
	reconciler := &pipestoken.Reconciler{
		Client: api, Secrets: secrets, Connections: connections, Recorder: recorder{o}, Clock: wall{o}, Ledger: tokensDue, Metrics: counters, Watchdog: o.watchdog,
		// A slow write is reported after real time, and the model has no real time.
		SlowWrite:          -1,
		DefaultEnvironment: defaultEnvironment,
	}
	o.tokens = reconciler
	o.world.must(reconciler.SetupWithManager(context.Background(), manager, o.options()))
	environments := &pipesenvironment.Reconciler{Client: api, Connections: connections, Recorder: recorder{o}, Clock: wall{o}, Ledger: tokensDue, Metrics: counters}
	o.world.must(environments.SetupWithManager(manager, o.options()))
}

func (o *operator) options() controller.Options {
	return controller.Options{
		SkipNameValidation: ptr.To(true), MaxConcurrentReconciles: maxFrozen + 1, RecoverPanic: ptr.To(false),
		NewQueue: func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
			queue := newGatedQueue(monotonic{o}.Now, limiter, o.paused, o.manned)
			o.mu.Lock()
			defer o.mu.Unlock()
			o.queues[name] = queue
			return queue
		},
	}
}

// kill ends the process. Its writes stay, and its metrics are searched for secrets.
func (o *operator) kill() {
	o.dead = true
	for len(o.frozen) > 0 {
		o.thaw(0)
	}
	o.stop()
	o.running.Wait()
	families, err := o.metrics.Gather()
	o.world.must(err)
	for _, family := range families {
		o.world.expectNoCanary("a metric", family.String())
	}
}

// monotonic is the clock for timers. It stands still while the node does, and it cannot be set.
type monotonic struct{ operator *operator }

func (m monotonic) Now() time.Time                  { return m.operator.world.clock.Now().Add(-m.operator.suspended) }
func (m monotonic) Since(t time.Time) time.Duration { return m.Now().Sub(t) }

// wall is the clock of the node, which may be wrong. Like time.Now, it returns a time with a
// monotonic reading, and differences between two times use that reading.
type wall struct{ operator *operator }

func (c wall) Now() time.Time {
	w := c.operator.world
	running := w.booted.Add(monotonic(c).Now().Sub(start))
	return walltime.Set(running, w.clock.Now().Add(c.operator.skew))
}
func (c wall) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// lookAtClock returns the earliest time that a reconcile may judge by: the time of WorkOS, which
// is the time of the world, or the time of the node before an answer has shown WorkOS's time. If
// WorkOS has sent a wrong date, the operator may judge by any time, so lookAtClock returns the
// zero time.
func (o *operator) lookAtClock() time.Time {
	if o.world.datesWereWrong {
		return time.Time{}
	}
	return earliest(o.world.clock.Now(), wall{o}.Now().Round(0))
}

// starter implements the part of a manager that the setup of the controllers needs.
type starter struct {
	manager.Manager
	operator *operator
	list     []manager.Runnable
}

func (s *starter) Add(runnable manager.Runnable) error {
	s.list = append(s.list, runnable)
	return nil
}
func (s *starter) GetScheme() *runtime.Scheme              { return kubeScheme }
func (s *starter) GetAPIReader() client.Reader             { return liveReader{operator: s.operator} }
func (s *starter) GetCache() cache.Cache                   { return s.operator.view }
func (s *starter) GetFieldIndexer() client.FieldIndexer    { return s.operator.view }
func (s *starter) GetControllerOptions() config.Controller { return config.Controller{} }
func (s *starter) GetLogger() logr.Logger                  { return s.operator.logger() }

// logger checks that no log line contains a secret or a panic.
func (o *operator) logger() logr.Logger {
	return funcr.New(func(_, line string) {
		o.world.expectNoCanary("the log", line)
		if strings.Contains(line, "panic") {
			o.world.violatedf("the log tells of a panic: %s", line)
		}
	}, funcr.Options{Verbosity: 10})
}

// recorder checks the events.
type recorder struct{ operator *operator }

func (r recorder) Eventf(_, _ runtime.Object, _, reason, action, note string, args ...any) {
	text := fmt.Sprintf(note, args...)
	r.operator.world.expectNoCanary("an event", text)
	if reason == "" || action == "" || len(text) > 1024 {
		r.operator.world.violatedf("the API server would refuse the event %q %q %q", reason, action, text)
	}
}

// The liveness check fails after the queue has lost a timer. With the queue of controller-runtime
// this can happen: an event consumes a pending timer, and the reconcile for that event must set a
// new timer. The liveness check does not fail during an outage of WorkOS of a day.
func TestTheLivenessCheckNoticesALostTimerAndBearsAnOutage(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	key := types.NamespacedName{Namespace: "tenant-a", Name: "x"}
	w.user(key)
	w.workos.Inject(workossim.Fault{Kind: workossim.FaultServerError})
	o := w.operators[0]
	o.run(24 * time.Hour)
	w.check()
	if err := o.watchdog.Check(nil); err != nil {
		t.Fatalf("after an outage of a day, the liveness check says: %v", err)
	}
	delete(o.queues["pipestoken"].entries, reconcile.Request{NamespacedName: key})
	w.clock.SetTime(w.clock.Now().Add(ceiling + 6*time.Minute))
	if err := o.watchdog.Check(nil); err == nil || !strings.Contains(err.Error(), key.String()) {
		t.Fatalf("a timer has been lost, and the liveness check says: %v", err)
	}
}
