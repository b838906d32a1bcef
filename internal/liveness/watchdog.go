// Package liveness decides whether Kubernetes should restart the process: if its controllers make
// no progress, or if its clock stands still.
package liveness

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// Patience is how long a reconcile may take, or be overdue, before the process
	// counts as stuck. It is five times the limit for a reconcile in cmd/pipes-operator.
	Patience = 5 * time.Minute
	// idleAfter is how long a worker must be without work before it counts as idle. A shorter
	// time may be the time between two reconciles.
	idleAfter = time.Second
)

// Watchdog checks that one controller makes progress. Every reconcile says when the next
// reconcile is due. Therefore the Watchdog notices if the next reconcile never comes, whatever
// the reason: a lost timer, a worker that hangs, or a queue that stands still.
//
// An outage of WorkOS or of the API server is no reason to fail, because reconciles still run.
// More work than the workers can do is no reason either: an object counts as forgotten only if a
// worker was idle long after the reconcile of the object was due.
type Watchdog struct {
	clock   clock.PassiveClock
	workers int
	// retry is the longest delay before a failed reconcile is retried.
	retry time.Duration

	mu      sync.Mutex
	due     map[types.NamespacedName]time.Time
	running map[types.NamespacedName]time.Time // when each of them started
	// slackSince is when a worker last became free after all workers were busy. idleAt is when a
	// worker was last seen idle.
	slackSince, idleAt time.Time
}

// NewWatchdog returns a Watchdog for a controller. workers is how many of its workers are always
// busy while objects are ready. retry is the longest delay before a failed reconcile is retried.
// clock must be a monotonic clock, because timers use the monotonic clock.
func NewWatchdog(clock clock.PassiveClock, workers int, retry time.Duration) *Watchdog {
	return &Watchdog{
		clock: clock, workers: workers, retry: retry, slackSince: clock.Now(),
		due: map[types.NamespacedName]time.Time{}, running: map[types.NamespacedName]time.Time{},
	}
}

// Watch wraps next, so that the Watchdog sees each reconcile. A nil Watchdog returns next
// unchanged.
func (w *Watchdog) Watch(next reconcile.Reconciler) reconcile.Reconciler {
	if w == nil {
		return next
	}
	return reconcile.Func(func(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
		w.begin(request.NamespacedName)
		result, err := reconcile.Result{RequeueAfter: w.retry}, error(nil)
		defer func() { w.end(request.NamespacedName, result, err) }() // also after a panic
		result, err = next.Reconcile(ctx, request)
		return result, err
	})
}

func (w *Watchdog) begin(name types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookForIdle()
	w.running[name] = w.clock.Now()
}

// end records when the next reconcile is due. An object without a next reconcile has been
// deleted.
func (w *Watchdog) end(name types.NamespacedName, result reconcile.Result, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	if len(w.running) >= w.workers {
		w.slackSince = now
	}
	delete(w.running, name)
	switch {
	case err != nil:
		w.due[name] = now.Add(w.retry)
	case result.RequeueAfter > 0:
		w.due[name] = now.Add(result.RequeueAfter)
	default:
		delete(w.due, name)
	}
}

// lookForIdle records whether a worker is idle now. The caller holds mu.
func (w *Watchdog) lookForIdle() {
	if now := w.clock.Now(); len(w.running) < w.workers && now.Sub(w.slackSince) >= idleAfter {
		w.idleAt = now
	}
}

// Check is a liveness check. It fails if a restart would help.
func (w *Watchdog) Check(*http.Request) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	w.lookForIdle()
	for name, since := range w.running {
		if took := now.Sub(since); took > Patience {
			return fmt.Errorf("the pass over %s has taken %s so far", name, took.Truncate(time.Second))
		}
	}
	for name, due := range w.due {
		if _, runs := w.running[name]; !runs && w.idleAt.Sub(due) > Patience {
			return fmt.Errorf("the pass over %s has been due for %s, and there is a worker without work",
				name, now.Sub(due).Truncate(time.Second))
		}
	}
	return nil
}

// ClockMoves returns a liveness check that fails if the wall clock stands still, because then no
// token ever counts as expired.
func ClockMoves(monotonic, wall clock.PassiveClock) healthz.Checker {
	const longest = time.Minute
	var mu sync.Mutex
	last, moved := wall.Now().Round(0), monotonic.Now()
	return func(*http.Request) error {
		mu.Lock()
		defer mu.Unlock()
		if now := wall.Now().Round(0); !now.Equal(last) {
			last, moved = now, monotonic.Now()
		}
		if still := monotonic.Since(moved); still > longest {
			return fmt.Errorf("the clock has stood at %s for %s", last.UTC().Format(time.RFC3339), still.Truncate(time.Second))
		}
		return nil
	}
}
