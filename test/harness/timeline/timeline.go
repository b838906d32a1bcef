// Package timeline runs the timers of an operator's queues on a stepped clock.
package timeline

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Timeline runs the timers of an operator's queues on a stepped clock: an object with
// RequeueAfter of an hour is reconciled when the clock has been stepped by an hour. Everything
// else, including the retries after errors, is controller-runtime's own.
type Timeline struct {
	clock *testingclock.FakeClock

	mu     sync.Mutex
	idle   *sync.Cond
	timers map[timer]alarm
	// busy are the timers whose objects were added and are not done. again are those that were
	// added again during that time. Items in again are not in the queue, so the queue never holds
	// an object that is being reconciled, and the timeline knows when everything is done.
	busy  map[timer]bool
	again map[timer]priorityqueue.AddOpts
	// begun is when the running reconcile began. Its RequeueAfter counts from that time.
	begun  map[timer]time.Time
	passes map[reconcile.Request]int
}

// timer is one object in one queue.
type timer struct {
	queue   *steppedQueue
	request reconcile.Request
}

// alarm is when an object is requeued, and with which priority.
type alarm struct {
	at       time.Time
	priority *int
}

// New returns a timeline without timers.
func New(clock *testingclock.FakeClock) *Timeline {
	t := &Timeline{
		clock: clock, timers: map[timer]alarm{}, busy: map[timer]bool{}, again: map[timer]priorityqueue.AddOpts{},
		begun: map[timer]time.Time{}, passes: map[reconcile.Request]int{},
	}
	t.idle = sync.NewCond(&t.mu)
	return t
}

// Workers is how many objects a controller reconciles at the same time.
const Workers = 4

// Options are the options of a controller whose timers run on the timeline.
func (t *Timeline) Options() controller.Options {
	return controller.Options{SkipNameValidation: ptr.To(true), MaxConcurrentReconciles: Workers, NewQueue: t.newQueue}
}

func (t *Timeline) newQueue(
	name string, limiter workqueue.TypedRateLimiter[reconcile.Request],
) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	return &steppedQueue{
		PriorityQueue: priorityqueue.New(name, func(o *priorityqueue.Opts[reconcile.Request]) { o.RateLimiter = limiter }),
		timeline:      t,
	}
}

// Advance steps the clock by d. It stops at each timer on the way until its object has been
// reconciled.
func (t *Timeline) Advance(d time.Duration) {
	target := t.clock.Now().Add(d)
	for {
		t.Settle()
		due, at := t.nextTimers(target)
		if len(due) == 0 && !t.clock.Now().Before(target) {
			return
		}
		t.clock.SetTime(latestOf(at, t.clock.Now()))
		for timer, alarm := range due {
			timer.fire(alarm)
		}
	}
}

// Only steps the clock to at, and fires the timers of one object only.
func (t *Timeline) Only(request reconcile.Request, at time.Time) {
	t.Settle()
	t.clock.SetTime(latestOf(at, t.clock.Now()))
	t.mu.Lock()
	fired := maps.Clone(t.timers)
	maps.DeleteFunc(fired, func(timer timer, _ alarm) bool { return timer.request != request })
	t.mu.Unlock()
	for timer, alarm := range fired {
		timer.fire(alarm)
	}
	t.Settle()
}

// Lose removes an object's timers, as a faulty queue would.
func (t *Timeline) Lose(request reconcile.Request) {
	t.Settle()
	t.mu.Lock()
	defer t.mu.Unlock()
	for timer := range t.timers {
		if timer.request == request {
			delete(t.timers, timer)
		}
	}
}

// patience is how long queues may take to settle. While reconciles keep failing, they do not.
const patience = time.Minute

// Settle waits until no object is queued or being reconciled. It panics if that takes too long.
func (t *Timeline) Settle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.await()
}

// await waits, with the lock, until no object is queued or being reconciled.
func (t *Timeline) await() {
	if len(t.busy) == 0 {
		return
	}
	late := false
	limit := time.AfterFunc(patience, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		late = true
		t.idle.Broadcast()
	})
	defer limit.Stop()
	for len(t.busy) > 0 {
		if late {
			panic(fmt.Sprintf("after %s, %d objects are still queued or being reconciled", patience, len(t.busy)))
		}
		t.idle.Wait()
	}
}

// nextTimers removes and returns the timers that fire first, if they fire before target or at
// target.
func (t *Timeline) nextTimers(target time.Time) (due map[timer]alarm, earliest time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	earliest = target
	for _, alarm := range t.timers {
		if alarm.at.Before(earliest) {
			earliest = alarm.at
		}
	}
	due = maps.Clone(t.timers)
	maps.DeleteFunc(due, func(_ timer, alarm alarm) bool { return !alarm.at.Equal(earliest) })
	for timer := range due {
		delete(t.timers, timer)
	}
	return due, earliest
}

// fire adds the object to its queue.
func (t timer) fire(alarm alarm) {
	t.queue.AddWithOpts(priorityqueue.AddOpts{Priority: alarm.priority}, t.request)
}

// PassesOf counts the reconciles of one object.
func (t *Timeline) PassesOf(request reconcile.Request) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.passes[request]
}

// TimerOf is when the object's timer fires, after the queues have settled; zero if it has no
// timer.
func (t *Timeline) TimerOf(request reconcile.Request) time.Time { return t.alarmOf(request).at }

// PriorityOf is the priority of that timer.
func (t *Timeline) PriorityOf(request reconcile.Request) int {
	return ptr.Deref(t.alarmOf(request).priority, 0)
}

func (t *Timeline) alarmOf(request reconcile.Request) alarm {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.await()
	for timer, alarm := range t.timers {
		if timer.request == request {
			return alarm
		}
	}
	return alarm{}
}

// added reports whether the item must be added to the queue now.
func (t *Timeline) added(timer timer, o priorityqueue.AddOpts) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if timer.queue.closed {
		return false
	}
	delete(t.timers, timer) // an event consumes a pending timer
	if t.busy[timer] {
		t.again[timer] = o
		return false
	}
	t.busy[timer] = true
	return true
}

func (t *Timeline) scheduled(timer timer, o priorityqueue.AddOpts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	from, ok := t.begun[timer]
	if !ok {
		from = t.clock.Now()
	}
	at := from.Add(o.After)
	if earlier, ok := t.timers[timer]; !ok || at.Before(earlier.at) {
		t.timers[timer] = alarm{at, o.Priority}
	}
}

func (t *Timeline) started(timer timer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.again, timer)
	delete(t.timers, timer)
	t.begun[timer] = t.clock.Now()
}

// done returns what was added during the reconcile, if anything was.
func (t *Timeline) done(timer timer) (priorityqueue.AddOpts, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.passes[timer.request]++
	delete(t.begun, timer)
	if o, ok := t.again[timer]; ok && !timer.queue.closed {
		delete(t.again, timer)
		return o, true
	}
	delete(t.busy, timer)
	t.idle.Broadcast()
	return priorityqueue.AddOpts{}, false
}

// forget drops the items of a queue that has been shut down.
func (t *Timeline) forget(queue *steppedQueue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	queue.closed = true
	for timer := range t.busy {
		if timer.queue == queue {
			delete(t.busy, timer)
		}
	}
	for timer := range t.timers {
		if timer.queue == queue {
			delete(t.timers, timer)
		}
	}
	t.idle.Broadcast()
}

// steppedQueue is a priority queue whose timers run on a timeline.
type steppedQueue struct {
	priorityqueue.PriorityQueue[reconcile.Request]
	timeline *Timeline
	closed   bool // guarded by the timeline's lock
}

func (q *steppedQueue) Add(request reconcile.Request) {
	q.AddWithOpts(priorityqueue.AddOpts{}, request)
}

func (q *steppedQueue) AddAfter(request reconcile.Request, after time.Duration) {
	q.AddWithOpts(priorityqueue.AddOpts{After: after}, request)
}

func (q *steppedQueue) AddRateLimited(request reconcile.Request) {
	q.AddWithOpts(priorityqueue.AddOpts{RateLimited: true}, request)
}

func (q *steppedQueue) AddWithOpts(o priorityqueue.AddOpts, requests ...reconcile.Request) {
	for _, request := range requests {
		timer := timer{q, request}
		if o.After > 0 {
			q.timeline.scheduled(timer, o)
			continue
		}
		if q.timeline.added(timer, o) {
			q.PriorityQueue.AddWithOpts(o, request)
		}
	}
}

func (q *steppedQueue) GetWithPriority() (reconcile.Request, int, bool) {
	request, priority, shutdown := q.PriorityQueue.GetWithPriority()
	if !shutdown {
		q.timeline.started(timer{q, request})
	}
	return request, priority, shutdown
}

func (q *steppedQueue) Done(request reconcile.Request) {
	q.PriorityQueue.Done(request)
	if o, again := q.timeline.done(timer{q, request}); again {
		q.PriorityQueue.AddWithOpts(o, request)
	}
}

func (q *steppedQueue) ShutDown() {
	q.PriorityQueue.ShutDown()
	q.timeline.forget(q)
}

func latestOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
