//go:build reliability

package model_test

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// gatedQueue is the queue of one controller. Like the priority queue of controller-runtime, it
// has one entry for each object; an added entry can only move the object to an earlier time, so
// an event consumes a pending timer. Two things differ: timers run on the clock of the model, and
// the queue returns an object only when the model says so.
type gatedQueue struct {
	// monotonic is the clock for timers.
	monotonic func() time.Time
	limiter   workqueue.TypedRateLimiter[reconcile.Request]

	entries map[reconcile.Request]time.Time // when each object is ready
	locked  map[reconcile.Request]bool      // objects with a running reconcile

	turns chan reconcile.Request
	// paused signals to the model that it has the turn again.
	paused chan<- struct{}
	// manned signals once that a worker waits for a turn. By then, the watches have been started.
	manned chan<- struct{}
	once   sync.Once
	shut   chan struct{}
}

func newGatedQueue(monotonic func() time.Time, limiter workqueue.TypedRateLimiter[reconcile.Request], paused, manned chan<- struct{}) *gatedQueue {
	return &gatedQueue{
		monotonic: monotonic, limiter: limiter, paused: paused, manned: manned,
		entries: map[reconcile.Request]time.Time{}, locked: map[reconcile.Request]bool{},
		turns: make(chan reconcile.Request), shut: make(chan struct{}),
	}
}

var _ priorityqueue.PriorityQueue[reconcile.Request] = &gatedQueue{}

// ready reports whether a reconcile of the object can start now.
func (q *gatedQueue) ready(request reconcile.Request) bool {
	at, waiting := q.entries[request]
	return waiting && !q.locked[request] && !at.After(q.monotonic())
}

// next is when the first timer fires, of all objects without a running reconcile; zero if there
// is no timer.
func (q *gatedQueue) next() time.Time {
	var first time.Time
	for request, at := range q.entries {
		if !q.locked[request] && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// turn lets a worker take the object.
func (q *gatedQueue) turn(request reconcile.Request) {
	delete(q.entries, request)
	q.locked[request] = true
	q.turns <- request
}

func (q *gatedQueue) AddWithOpts(o priorityqueue.AddOpts, requests ...reconcile.Request) {
	for _, request := range requests {
		after := o.After
		if o.RateLimited {
			if wait := q.limiter.When(request); after == 0 || wait < after {
				after = wait
			}
		}
		at := q.monotonic().Add(after)
		if earlier, ok := q.entries[request]; !ok || at.Before(earlier) {
			q.entries[request] = at
		}
	}
}

func (q *gatedQueue) GetWithPriority() (reconcile.Request, int, bool) {
	q.once.Do(func() { q.manned <- struct{}{} })
	select {
	case request := <-q.turns:
		return request, 0, false
	case <-q.shut:
		return reconcile.Request{}, 0, true
	}
}

func (q *gatedQueue) Done(request reconcile.Request) {
	delete(q.locked, request)
	q.paused <- struct{}{}
}

func (q *gatedQueue) Add(request reconcile.Request) { q.AddWithOpts(priorityqueue.AddOpts{}, request) }

func (q *gatedQueue) AddAfter(request reconcile.Request, after time.Duration) {
	q.AddWithOpts(priorityqueue.AddOpts{After: after}, request)
}

func (q *gatedQueue) AddRateLimited(request reconcile.Request) {
	q.AddWithOpts(priorityqueue.AddOpts{RateLimited: true}, request)
}

func (q *gatedQueue) Get() (reconcile.Request, bool) {
	request, _, shutdown := q.GetWithPriority()
	return request, shutdown
}

func (q *gatedQueue) Forget(request reconcile.Request) { q.limiter.Forget(request) }
func (q *gatedQueue) NumRequeues(request reconcile.Request) int {
	return q.limiter.NumRequeues(request)
}
func (q *gatedQueue) Len() int           { return len(q.entries) }
func (q *gatedQueue) ShutDown()          { close(q.shut) }
func (q *gatedQueue) ShutDownWithDrain() { q.ShutDown() }
func (q *gatedQueue) ShuttingDown() bool {
	select {
	case <-q.shut:
		return true
	default:
		return false
	}
}
