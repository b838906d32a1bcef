//go:build reliability

package tenancy_test

import (
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/util/workqueue"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// timeline runs the timers of the operator's queues on a stepped clock: an object with
// RequeueAfter of an hour is reconciled when the clock has been stepped by an hour. This way
// nothing happens that an attack does not expect.
type timeline struct {
	clock *testingclock.FakeClock

	mu     sync.Mutex
	timers map[item]time.Time
	// busy are the items that were added and are not done. again are the items that were added
	// again in the meantime.
	busy   map[item]bool
	again  map[item]priorityqueue.AddOpts
	passes map[reconcile.Request]int
}

// item is one object in one queue.
type item struct {
	queue   *steppedQueue
	request reconcile.Request
}

func newTimeline(clock *testingclock.FakeClock) *timeline {
	return &timeline{
		clock: clock, timers: map[item]time.Time{}, busy: map[item]bool{},
		again: map[item]priorityqueue.AddOpts{}, passes: map[reconcile.Request]int{},
	}
}

// options are the options of a controller whose timers run on the timeline.
func (t *timeline) options() controller.Options {
	return controller.Options{SkipNameValidation: ptr.To(true), MaxConcurrentReconciles: 4, NewQueue: t.newQueue}
}

func (t *timeline) newQueue(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	return &steppedQueue{
		PriorityQueue: priorityqueue.New(name, func(o *priorityqueue.Opts[reconcile.Request]) { o.RateLimiter = limiter }),
		timeline:      t,
	}
}

// advance steps the clock by d. It stops at each timer on the way until its object has been
// reconciled.
func (t *timeline) advance(d time.Duration) {
	for target := t.clock.Now().Add(d); ; {
		t.settle()
		due, at := t.next(target)
		if len(due) == 0 && !t.clock.Now().Before(target) {
			return
		}
		if at.After(t.clock.Now()) {
			t.clock.SetTime(at)
		}
		for _, item := range due {
			item.queue.Add(item.request)
		}
	}
}

// settle waits until no object is queued or being reconciled. It fails while reconciles keep
// failing.
func (t *timeline) settle() {
	GinkgoHelper()
	Eventually(t.load, time.Minute, time.Millisecond).Should(BeZero(), "objects that are worked on, or wait to be")
}

func (t *timeline) load() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.busy)
}

// next removes and returns the timers that fire first, if they fire at target or before it.
func (t *timeline) next(target time.Time) ([]item, time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	earliest, due := target, []item(nil)
	for item, at := range t.timers {
		switch {
		case at.Before(earliest):
			earliest, due = at, append(due[:0], item)
		case at.Equal(earliest):
			due = append(due, item)
		}
	}
	for _, item := range due {
		delete(t.timers, item)
	}
	return due, earliest
}

// passesOf counts the reconciles of one object.
func (t *timeline) passesOf(request reconcile.Request) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.passes[request]
}

// added reports whether the item must be added to the queue now.
func (t *timeline) added(item item, o priorityqueue.AddOpts) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if item.queue.closed {
		return false
	}
	delete(t.timers, item) // an event consumes a pending timer
	if t.busy[item] {
		t.again[item] = o
		return false
	}
	t.busy[item] = true
	return true
}

func (t *timeline) scheduled(item item, after time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.clock.Now().Add(after)
	if earlier, ok := t.timers[item]; !ok || at.Before(earlier) {
		t.timers[item] = at
	}
}

func (t *timeline) started(item item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.again, item)
	delete(t.timers, item)
}

// done returns what was added during the reconcile, if anything was.
func (t *timeline) done(item item) (priorityqueue.AddOpts, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.passes[item.request]++
	if o, ok := t.again[item]; ok && !item.queue.closed {
		delete(t.again, item)
		return o, true
	}
	delete(t.busy, item)
	return priorityqueue.AddOpts{}, false
}

// forget drops the items of a queue that has been shut down.
func (t *timeline) forget(queue *steppedQueue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	queue.closed = true
	for item := range t.busy {
		if item.queue == queue {
			delete(t.busy, item)
		}
	}
	for item := range t.timers {
		if item.queue == queue {
			delete(t.timers, item)
		}
	}
}

// steppedQueue is the priority queue of controller-runtime, with timers that run on a timeline.
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
		item := item{q, request}
		if o.After > 0 {
			q.timeline.scheduled(item, o.After)
			continue
		}
		if q.timeline.added(item, o) {
			q.PriorityQueue.AddWithOpts(o, request)
		}
	}
}

func (q *steppedQueue) GetWithPriority() (reconcile.Request, int, bool) {
	request, priority, shutdown := q.PriorityQueue.GetWithPriority()
	if !shutdown {
		q.timeline.started(item{q, request})
	}
	return request, priority, shutdown
}

func (q *steppedQueue) Done(request reconcile.Request) {
	q.PriorityQueue.Done(request)
	if o, again := q.timeline.done(item{q, request}); again {
		q.PriorityQueue.AddWithOpts(o, request)
	}
}

func (q *steppedQueue) ShutDown() {
	q.PriorityQueue.ShutDown()
	q.timeline.forget(q)
}
