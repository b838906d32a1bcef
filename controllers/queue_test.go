package controllers_test

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// timeline runs the timers of an operator's queues on a stepped clock: an object that asks to come back in an hour comes back
// when the clock has been stepped by an hour. Everything else, the retries of errors included, is controller-runtime's own.
type timeline struct {
	clock *testingclock.FakeClock

	mu     sync.Mutex
	idle   *sync.Cond
	timers map[timer]time.Time
	// busy counts what has been added and is not yet done.
	busy  map[timer]bool
	again map[timer]bool
	// begun is when the pass that is under way began: what it asks for counts from there.
	begun  map[timer]time.Time
	passes map[reconcile.Request]int
}

// timer is one object in one queue.
type timer struct {
	queue   *steppedQueue
	request reconcile.Request
}

func newTimeline(clock *testingclock.FakeClock) *timeline {
	t := &timeline{
		clock: clock, timers: map[timer]time.Time{}, busy: map[timer]bool{}, again: map[timer]bool{},
		begun: map[timer]time.Time{}, passes: map[reconcile.Request]int{},
	}
	t.idle = sync.NewCond(&t.mu)
	return t
}

// options are those of a controller whose timers run on the timeline.
func (t *timeline) options() controller.Options {
	skip := true
	return controller.Options{SkipNameValidation: &skip, MaxConcurrentReconciles: 4, NewQueue: t.newQueue}
}

func (t *timeline) newQueue(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	return &steppedQueue{
		PriorityQueue: priorityqueue.New(name, func(o *priorityqueue.Opts[reconcile.Request]) { o.RateLimiter = limiter }),
		timeline:      t,
	}
}

// advance steps the clock by d, stopping at each timer on the way until its object has been worked on.
func (t *timeline) advance(d time.Duration) {
	target := t.clock.Now().Add(d)
	for {
		t.settle()
		due, at := t.nextTimers(target)
		if len(due) == 0 && !t.clock.Now().Before(target) {
			return
		}
		t.clock.SetTime(latestOf(at, t.clock.Now()))
		for _, timer := range due {
			timer.queue.Add(timer.request)
		}
	}
}

// settle waits until no object is being worked on, or waits to be.
func (t *timeline) settle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.busy) > 0 {
		t.idle.Wait()
	}
}

// nextTimers takes those timers that are due first, if that is not after target.
func (t *timeline) nextTimers(target time.Time) ([]timer, time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	earliest, due := target, []timer(nil)
	for timer, at := range t.timers {
		switch {
		case at.Before(earliest):
			earliest, due = at, append(due[:0], timer)
		case at.Equal(earliest):
			due = append(due, timer)
		}
	}
	for _, timer := range due {
		delete(t.timers, timer)
	}
	return due, earliest
}

// passesOf counts the passes over one object.
func (t *timeline) passesOf(request reconcile.Request) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.passes[request]
}

// timerOf is when the object comes back by itself; zero when it does not.
func (t *timeline) timerOf(request reconcile.Request) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	for timer, at := range t.timers {
		if timer.request == request {
			return at
		}
	}
	return time.Time{}
}

func (t *timeline) added(timer timer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if timer.queue.closed {
		return
	}
	if t.busy[timer] {
		t.again[timer] = true
	}
	t.busy[timer] = true
	delete(t.timers, timer) // an event uses a pending timer up
}

func (t *timeline) scheduled(timer timer, after time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	from, ok := t.begun[timer]
	if !ok {
		from = t.clock.Now()
	}
	at := from.Add(after)
	if earlier, ok := t.timers[timer]; !ok || at.Before(earlier) {
		t.timers[timer] = at
	}
}

func (t *timeline) started(timer timer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.again, timer)
	delete(t.timers, timer)
	t.begun[timer] = t.clock.Now()
}

func (t *timeline) done(timer timer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.passes[timer.request]++
	delete(t.begun, timer)
	if t.again[timer] {
		return
	}
	delete(t.busy, timer)
	t.idle.Broadcast()
}

// forget drops what a queue that has been shut down still had.
func (t *timeline) forget(queue *steppedQueue) {
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
	timeline *timeline
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
			q.timeline.scheduled(timer, o.After)
			continue
		}
		q.timeline.added(timer)
		q.PriorityQueue.AddWithOpts(o, request)
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
	q.timeline.done(timer{q, request})
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
