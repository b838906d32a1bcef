package fairqueue

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// editFloor is the shortest time between two reconciles of one object that only edits caused. A
// person does not notice it. A program that edits ten times a second costs no more than a
// program that edits once a second.
const editFloor = time.Second

// Options configure a Queue.
type Options struct {
	// Workers is MaxConcurrentReconciles of the controller. One namespace gets at most half of
	// them. Zero means that no namespace has a limit.
	Workers int
	// RateLimiter decides when an object returns that is added with AddRateLimited. It is
	// required.
	RateLimiter workqueue.TypedRateLimiter[reconcile.Request]
	// Clock runs the timers. It is required.
	Clock clock.WithTicker
	// Metrics record the work of the queue. Nil means that nothing is recorded.
	Metrics *Metrics
}

// Busy returns the least number of workers that are busy while any object is ready, whatever
// namespaces the objects belong to.
func Busy(workers int) int { return (workers + 1) / 2 }

// Queue is a schedule with a clock, for any number of workers.
type Queue struct {
	clock   clock.WithTicker
	start   time.Time
	limiter workqueue.TypedRateLimiter[reconcile.Request]
	metrics *Metrics

	mu       sync.Mutex
	schedule *schedule
	// pickable is signalled when an object may be available to pick. drained is signalled when
	// the last object that was ready or running may be done.
	pickable, drained *sync.Cond
	// draining: new objects are ignored. closed: no object is picked any more.
	draining, closed bool
	// began holds the time at which each running object was picked.
	began map[reconcile.Request]time.Duration
	// armed is when keepTime wakes if nothing else wakes it.
	armed time.Duration

	wake, done chan struct{}
}

var _ priorityqueue.PriorityQueue[reconcile.Request] = &Queue{}

// New returns a queue. It starts one goroutine, which ends when the queue is shut down.
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

// AddWithOpts adds an event, or sets a timer if the options contain a delay.
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

// AddAfter sets a timer of ordinary priority. An earlier timer of the object stays.
func (q *Queue) AddAfter(request reconcile.Request, after time.Duration) {
	q.AddWithOpts(priorityqueue.AddOpts{After: after}, request)
}

// AddRateLimited sets a timer with the delay of the rate limiter.
func (q *Queue) AddRateLimited(request reconcile.Request) {
	q.AddWithOpts(priorityqueue.AddOpts{RateLimited: true}, request)
}

// GetWithPriority waits for the next object, and returns it with the priority with which it was
// picked. The caller must call Done.
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

// Done ends the work on an object. An event that arrived during the work makes the object ready
// now.
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

// NumRequeues returns how often the object was added with AddRateLimited since Forget.
func (q *Queue) NumRequeues(request reconcile.Request) int { return q.limiter.NumRequeues(request) }

// Len returns how many objects are ready. Objects that run or wait for their time do not count.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.advance()
	return q.schedule.len()
}

// ShutDown closes the queue at once. Waiting workers return, and ready objects are dropped.
func (q *Queue) ShutDown() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.close()
}

// ShutDownWithDrain accepts no more objects and lets no timer come due. It waits until the
// ready objects have been picked and are done, or until ShutDown is called.
func (q *Queue) ShutDownWithDrain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.draining = true
	for !q.closed && (q.schedule.len() > 0 || len(q.began) > 0) {
		q.drained.Wait()
	}
	q.close()
}

// ShuttingDown reports whether the queue accepts no more objects.
func (q *Queue) ShuttingDown() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.draining
}

// close ends the queue. The caller must hold mu.
func (q *Queue) close() {
	if q.closed {
		return
	}
	q.draining, q.closed = true, true
	close(q.done)
	q.pickable.Broadcast()
	q.drained.Broadcast()
}

// changed notifies the goroutines that wait for a change of the schedule. One signal is enough,
// because the worker that picks an object calls changed again. The caller must hold mu.
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

// advance makes objects ready that are due now, and returns now. The caller must hold mu.
func (q *Queue) advance() time.Duration {
	now := q.now()
	if !q.draining {
		q.schedule.advance(now)
	}
	return now
}

// now returns the time of the schedule: the time since the queue was made.
func (q *Queue) now() time.Duration { return q.clock.Since(q.start) }

// observePeriod is how often the metrics of running objects are updated.
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

// sleep makes objects ready that are due, and returns how long no other object will be due.
func (q *Queue) sleep() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.advance()
	q.armed = q.schedule.next()
	q.changed()
	if q.draining || q.armed == never {
		return time.Hour // or until an object is added
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
