package controllers_test

import (
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

// timeline runs the timers of an operator's queues on a stepped clock: an object that asks to come back in an hour comes back
// when the clock has been stepped by an hour. Everything else, the retries of errors included, is controller-runtime's own.
type timeline struct {
	clock *testingclock.FakeClock

	mu     sync.Mutex
	idle   *sync.Cond
	timers map[timer]alarm
	// busy is what has been added and is not yet done. What is added once more meanwhile waits in again, so that a queue never
	// holds what is being worked on, and it can be told when all is done.
	busy  map[timer]bool
	again map[timer]priorityqueue.AddOpts
	// begun is when the pass that is under way began: what it asks for counts from there.
	begun  map[timer]time.Time
	passes map[reconcile.Request]int
}

// timer is one object in one queue.
type timer struct {
	queue   *steppedQueue
	request reconcile.Request
}

// alarm is when an object comes back, and how urgently.
type alarm struct {
	at       time.Time
	priority *int
}

func newTimeline(clock *testingclock.FakeClock) *timeline {
	t := &timeline{
		clock: clock, timers: map[timer]alarm{}, busy: map[timer]bool{}, again: map[timer]priorityqueue.AddOpts{},
		begun: map[timer]time.Time{}, passes: map[reconcile.Request]int{},
	}
	t.idle = sync.NewCond(&t.mu)
	return t
}

// workers is how many objects a controller works on at once.
const workers = 4

// options are those of a controller whose timers run on the timeline.
func (t *timeline) options() controller.Options {
	skip := true
	return controller.Options{SkipNameValidation: &skip, MaxConcurrentReconciles: workers, NewQueue: t.newQueue}
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
		for timer, alarm := range due {
			timer.fire(alarm)
		}
	}
}

// only lets one object's timer fire, at its time; the others stay behind.
func (t *timeline) only(request reconcile.Request, at time.Time) {
	t.settle()
	t.clock.SetTime(latestOf(at, t.clock.Now()))
	t.mu.Lock()
	fired := maps.Clone(t.timers)
	maps.DeleteFunc(fired, func(timer timer, _ alarm) bool { return timer.request != request })
	t.mu.Unlock()
	for timer, alarm := range fired {
		timer.fire(alarm)
	}
	t.settle()
}

// lose takes an object's timer away, as a faulty queue would.
func (t *timeline) lose(request reconcile.Request) {
	t.settle()
	t.mu.Lock()
	defer t.mu.Unlock()
	for timer := range t.timers {
		if timer.request == request {
			delete(t.timers, timer)
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
func (t *timeline) nextTimers(target time.Time) (due map[timer]alarm, earliest time.Time) {
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

// fire puts the object into its queue.
func (t timer) fire(alarm alarm) {
	t.queue.AddWithOpts(priorityqueue.AddOpts{Priority: alarm.priority}, t.request)
}

// passesOf counts the passes over one object.
func (t *timeline) passesOf(request reconcile.Request) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.passes[request]
}

// timerOf is when the object comes back by itself, once it is not being worked on; zero when it does not.
func (t *timeline) timerOf(request reconcile.Request) time.Time { return t.alarmOf(request).at }

// priorityOf is with which priority it does.
func (t *timeline) priorityOf(request reconcile.Request) int {
	return ptr.Deref(t.alarmOf(request).priority, 0)
}

func (t *timeline) alarmOf(request reconcile.Request) alarm {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.busy) > 0 {
		t.idle.Wait()
	}
	for timer, alarm := range t.timers {
		if timer.request == request {
			return alarm
		}
	}
	return alarm{}
}

// added says whether the queue shall have what was added now.
func (t *timeline) added(timer timer, o priorityqueue.AddOpts) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if timer.queue.closed {
		return false
	}
	delete(t.timers, timer) // an event uses a pending timer up
	if t.busy[timer] {
		t.again[timer] = o
		return false
	}
	t.busy[timer] = true
	return true
}

func (t *timeline) scheduled(timer timer, o priorityqueue.AddOpts) {
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

func (t *timeline) started(timer timer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.again, timer)
	delete(t.timers, timer)
	t.begun[timer] = t.clock.Now()
}

// done returns what was added meanwhile, if anything was.
func (t *timeline) done(timer timer) (priorityqueue.AddOpts, bool) {
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
