package fairqueue

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// editFloor is the time between two reconciles of one object that only edits caused. A person does
// not notice it; a program that edits ten times a second does not cost more than one that edits once.
const editFloor = time.Second

// Options are what a Queue is made of.
type Options struct {
	// Workers is the controller's MaxConcurrentReconciles: one namespace gets half of them at most.
	// Zero: no namespace has a limit.
	Workers int
	// RateLimiter says when an object comes back that is added with AddRateLimited. It is required.
	RateLimiter workqueue.TypedRateLimiter[reconcile.Request]
	// Clock runs the timers. It is required.
	Clock clock.WithTicker
	// Metrics tell what the queue does. Nil: there are none.
	Metrics *Metrics
}

// Busy is how many of the workers are busy at least while any object is ready, whatever namespaces
// the objects are of.
func Busy(workers int) int { return (workers + 1) / 2 }

// Queue is a schedule with a clock, for any number of workers.
type Queue struct {
	clock   clock.WithTicker
	start   time.Time
	limiter workqueue.TypedRateLimiter[reconcile.Request]
	metrics *Metrics

	mu       sync.Mutex
	schedule *schedule
	// pickable is signalled when there may be something to pick; drained when nothing is ready or
	// running any more.
	pickable, drained *sync.Cond
	// draining: what comes is ignored. closed: nothing is picked any more.
	draining, closed bool
	// began is when each running object was picked.
	began map[reconcile.Request]time.Duration
	// armed is when the timekeeper wakes, unless it is woken.
	armed time.Duration

	wake, done chan struct{}
}

var _ priorityqueue.PriorityQueue[reconcile.Request] = &Queue{}

// New returns a queue. It has one goroutine, which ends when the queue is shut down.
func New(o Options) *Queue {
	q := &Queue{
		clock: o.Clock, start: o.Clock.Now(), limiter: o.RateLimiter, metrics: o.Metrics,
		schedule: newSchedule(o.Workers, editFloor), began: map[reconcile.Request]time.Duration{}, armed: never,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	q.pickable, q.drained = sync.NewCond(&q.mu), sync.NewCond(&q.mu)
	go q.keepTime()
	return q
}

// AddWithOpts adds an event, or sets a timer when the options say to wait.
func (q *Queue) AddWithOpts(o priorityqueue.AddOpts, requests ...reconcile.Request) {
	priority := Ordinary
	if o.Priority != nil {
		priority = *o.Priority
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.draining {
		return
	}
	now := q.now()
	for _, request := range requests {
		after := o.After
		if o.RateLimited {
			if wait := q.limiter.When(request); after == 0 || wait < after {
				after = wait
			}
		}
		if after > 0 {
			q.metrics.retried()
			q.schedule.addAt(request, priority, now+after)
		} else {
			q.schedule.add(request, priority, now)
		}
	}
	q.changed()
}

// Add adds an event of ordinary priority.
func (q *Queue) Add(request reconcile.Request) { q.AddWithOpts(priorityqueue.AddOpts{}, request) }

// AddAfter sets a timer of ordinary priority. An earlier one stays.
func (q *Queue) AddAfter(request reconcile.Request, after time.Duration) {
	q.AddWithOpts(priorityqueue.AddOpts{After: after}, request)
}

// AddRateLimited sets a timer that the rate limiter chooses.
func (q *Queue) AddRateLimited(request reconcile.Request) {
	q.AddWithOpts(priorityqueue.AddOpts{RateLimited: true}, request)
}

// GetWithPriority waits for the object that is next, and returns it with the priority that it was
// picked with. The caller must call Done.
func (q *Queue) GetWithPriority() (request reconcile.Request, priority int, shutdown bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed {
		now := q.advance()
		if place, ok := q.schedule.pick(now); ok {
			request = place.object.request
			q.began[request] = now
			q.metrics.picked(now - place.since)
			q.changed()
			return request, place.priority, false
		}
		q.pickable.Wait()
	}
	return reconcile.Request{}, 0, true
}

// Get is GetWithPriority without the priority.
func (q *Queue) Get() (request reconcile.Request, shutdown bool) {
	request, _, shutdown = q.GetWithPriority()
	return request, shutdown
}

// Done ends the work on an object. An event that came meanwhile makes it ready now.
func (q *Queue) Done(request reconcile.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if began, running := q.began[request]; running {
		q.metrics.finished(now - began)
		delete(q.began, request)
	}
	q.schedule.done(request, now)
	q.changed()
}

// Forget resets the object's back-off.
func (q *Queue) Forget(request reconcile.Request) { q.limiter.Forget(request) }

// NumRequeues is how often the object was added with AddRateLimited since Forget.
func (q *Queue) NumRequeues(request reconcile.Request) int { return q.limiter.NumRequeues(request) }

// Len is how many objects are ready. Those that are running or wait for their time do not count.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.advance()
	return q.schedule.len()
}

// ShutDown ends the queue at once: workers that wait return, and what is ready is dropped.
func (q *Queue) ShutDown() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.close()
}

// ShutDownWithDrain takes nothing more, lets no timer come due, and waits until what is ready has
// been picked and is done, or until ShutDown is called.
func (q *Queue) ShutDownWithDrain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.draining = true
	for !q.closed && (q.schedule.len() > 0 || len(q.began) > 0) {
		q.drained.Wait()
	}
	q.close()
}

// ShuttingDown says whether the queue takes nothing more.
func (q *Queue) ShuttingDown() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.draining
}

// close is called with mu held.
func (q *Queue) close() {
	if q.closed {
		return
	}
	q.draining, q.closed = true, true
	close(q.done)
	q.pickable.Broadcast()
	q.drained.Broadcast()
}

// changed tells whom it may concern that the schedule has changed. One signal is enough: whoever
// picks something calls changed again. It is called with mu held.
func (q *Queue) changed() {
	q.metrics.observe(q.schedule.depth, q.schedule.added)
	if q.schedule.len() > 0 {
		q.pickable.Signal()
	}
	if q.draining {
		q.drained.Broadcast()
	}
	if q.schedule.next() < q.armed {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// advance makes ready what is due, and returns the instant at which it is. It is called with mu held.
func (q *Queue) advance() time.Duration {
	now := q.now()
	if !q.draining {
		q.schedule.advance(now)
	}
	return now
}

// now is the schedule's instant.
func (q *Queue) now() time.Duration { return q.clock.Since(q.start) }

// observePeriod is how often the metrics tell of what is still running.
const observePeriod = 500 * time.Millisecond

// keepTime makes objects ready when they are due, until the queue is shut down.
func (q *Queue) keepTime() {
	observe := q.clock.NewTicker(observePeriod)
	defer observe.Stop()
	for {
		timer := q.clock.NewTimer(q.sleep())
		select {
		case <-q.done:
			timer.Stop()
			return
		case <-observe.C():
			q.observeRunning()
		case <-timer.C():
		case <-q.wake:
		}
		timer.Stop()
	}
}

// sleep makes ready what is due, and returns how long nothing more will be.
func (q *Queue) sleep() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.advance()
	q.armed = q.schedule.next()
	q.changed()
	if q.draining || q.armed == never {
		return time.Hour // until something is added
	}
	return q.armed - now
}

func (q *Queue) observeRunning() {
	q.mu.Lock()
	defer q.mu.Unlock()
	var sum, longest time.Duration
	for _, began := range q.began {
		took := q.now() - began
		sum, longest = sum+took, max(longest, took)
	}
	q.metrics.running(sum, longest)
}
