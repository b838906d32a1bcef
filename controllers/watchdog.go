package controllers

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
	// watchdogPatience is how long a pass may take, or be overdue, before the process counts as stuck: five times what
	// cmd/pipes-operator lets a pass take.
	watchdogPatience = 5 * time.Minute
	// idleAfter is how long a worker has to be without work before it counts as idle, and not as between two passes.
	idleAfter = time.Second
)

// Watchdog tells whether the work of one controller goes on. Every pass says when the next one is due; so it can be told when one
// never comes, whatever the reason: a lost timer, a worker that hangs, a queue that stands still.
//
// An outage, of WorkOS or of the API server, is no reason to fail: passes go on being made. Nor is more work than there are
// workers for: an object counts as forgotten only if, long after its pass was due, some worker had nothing to do.
type Watchdog struct {
	clock   clock.PassiveClock
	workers int

	mu      sync.Mutex
	due     map[types.NamespacedName]time.Time
	running map[types.NamespacedName]time.Time // since when
	// slackSince is when a worker last became free, while all were busy before. idleAt is when one was last seen idle.
	slackSince, idleAt time.Time
}

// NewWatchdog returns a watchdog for a controller of which that many workers are busy while there is work. The clock is one that nobody
// sets: timers run on it.
func NewWatchdog(clock clock.PassiveClock, workers int) *Watchdog {
	return &Watchdog{
		clock: clock, workers: workers, slackSince: clock.Now(),
		due: map[types.NamespacedName]time.Time{}, running: map[types.NamespacedName]time.Time{},
	}
}

// watch returns next, watched. A nil Watchdog watches nothing.
func (w *Watchdog) watch(next reconcile.Reconciler) reconcile.Reconciler {
	if w == nil {
		return next
	}
	return reconcile.Func(func(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
		w.begin(request.NamespacedName)
		result, err := reconcile.Result{RequeueAfter: maxErrorBackoff}, error(nil)
		defer func() { w.end(request.NamespacedName, result, err) }() // after a panic, too
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

// end notes when the next pass is due. An object that needs none is gone.
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
		w.due[name] = now.Add(maxErrorBackoff)
	case result.RequeueAfter > 0:
		w.due[name] = now.Add(result.RequeueAfter)
	default:
		delete(w.due, name)
	}
}

// lookForIdle is called with mu held.
func (w *Watchdog) lookForIdle() {
	if now := w.clock.Now(); len(w.running) < w.workers && now.Sub(w.slackSince) >= idleAfter {
		w.idleAt = now
	}
}

// Check is a liveness check: it fails when a restart would help.
func (w *Watchdog) Check(*http.Request) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	w.lookForIdle()
	for name, since := range w.running {
		if took := now.Sub(since); took > watchdogPatience {
			return fmt.Errorf("the pass over %s has taken %s so far", name, took.Truncate(time.Second))
		}
	}
	for name, due := range w.due {
		if _, runs := w.running[name]; !runs && w.idleAt.Sub(due) > watchdogPatience {
			return fmt.Errorf("the pass over %s has been due for %s, and there is a worker without work", name, now.Sub(due).Truncate(time.Second))
		}
	}
	return nil
}

// ClockMoves returns a liveness check that fails when the wall clock stands still: no token would ever be seen to expire.
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
