package fairqueue

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func limiter() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](50*time.Millisecond, 30*time.Second)
}

// stepped returns a queue with a clock that the test steps. Its workers do not block: take
// returns the object that a worker would get.
func stepped(t *testing.T) (*Queue, *testingclock.FakeClock) {
	t.Helper()
	clock := testingclock.NewFakeClock(time.Unix(1e9, 0))
	q := New(Options{Workers: 10, RateLimiter: limiter(), Clock: clock})
	t.Cleanup(q.ShutDown)
	return q, clock
}

func (q *Queue) expect(t *testing.T, want reconcile.Request, priority int) {
	t.Helper()
	if q.Len() == 0 {
		t.Fatalf("nothing is ready, want %v", want)
	}
	if got, with, _ := q.GetWithPriority(); got != want || with != priority {
		t.Fatalf("got %v with %d, want %v with %d", got, with, want, priority)
	}
}

func (q *Queue) expectNothing(t *testing.T) {
	t.Helper()
	if ready := q.Len(); ready != 0 {
		t.Fatalf("%d objects are ready, want none", ready)
	}
}

var a = named("tenant", "a")

func TestATimerMakesItsObjectReadyWhenItIsDue(t *testing.T) {
	q, clock := stepped(t)
	q.AddWithOpts(priorityqueue.AddOpts{After: time.Minute, Priority: ptr.To(7)}, a)
	clock.Step(time.Minute - time.Nanosecond)
	q.expectNothing(t)
	clock.Step(time.Nanosecond)
	q.expect(t, a, 7)
}

func TestTheEarlierOfTwoTimersStays(t *testing.T) {
	q, clock := stepped(t)
	q.AddAfter(a, time.Hour)
	q.AddAfter(a, time.Minute)
	q.AddAfter(a, 2*time.Hour)
	clock.Step(time.Minute)
	q.expect(t, a, Ordinary)
	q.Done(a)
	clock.Step(3 * time.Hour)
	q.expectNothing(t)
}

func TestAnEventUsesTheTimerUp(t *testing.T) {
	q, clock := stepped(t)
	q.AddWithOpts(priorityqueue.AddOpts{After: time.Minute, Priority: ptr.To(7)}, a)
	q.Add(a)
	q.expect(t, a, Ordinary)
	q.Done(a)
	clock.Step(time.Hour)
	q.expectNothing(t)
}

func TestARunningObjectIsNotPickedAgainUntilItIsDone(t *testing.T) {
	q, _ := stepped(t)
	q.AddWithOpts(priorityqueue.AddOpts{Priority: ptr.To(7)}, a)
	q.expect(t, a, 7)
	q.AddWithOpts(priorityqueue.AddOpts{Priority: ptr.To(5)}, a)
	q.AddWithOpts(priorityqueue.AddOpts{Priority: ptr.To(6)}, a)
	q.expectNothing(t)
	q.Done(a)
	q.expect(t, a, 6)
	q.Done(a)
	q.expectNothing(t)
}

func TestTheTimerOfARunningObjectFires(t *testing.T) {
	q, clock := stepped(t)
	q.Add(a)
	q.expect(t, a, Ordinary)
	q.AddWithOpts(priorityqueue.AddOpts{After: time.Millisecond, Priority: ptr.To(7)}, a)
	clock.Step(time.Second)
	q.expectNothing(t)
	q.Done(a)
	q.expect(t, a, 7)
}

func TestErrorsBackOffPerObjectAndKeepTheirPriority(t *testing.T) {
	q, clock := stepped(t)
	for failures, wait := range []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond} {
		q.AddWithOpts(priorityqueue.AddOpts{RateLimited: true, Priority: ptr.To(Withdrawal)}, a)
		if got := q.NumRequeues(a); got != failures+1 {
			t.Fatalf("%d requeues, want %d", got, failures+1)
		}
		clock.Step(wait - time.Nanosecond)
		q.expectNothing(t)
		clock.Step(time.Nanosecond)
		q.expect(t, a, Withdrawal)
		q.Done(a)
	}
	q.Forget(a)
	q.AddRateLimited(a)
	clock.Step(50 * time.Millisecond)
	q.expect(t, a, Ordinary)
}

// Only keepTime wakes a worker that waits for a timer; no other call of the queue does.
func TestAWorkerThatWaitsGetsWhatComesDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(Options{RateLimiter: limiter(), Clock: clock.RealClock{}})
		defer q.ShutDown()
		began := time.Now()
		q.AddAfter(a, time.Hour)
		later := time.AfterFunc(time.Minute, func() { q.AddAfter(named("tenant", "sooner"), time.Minute) })
		defer later.Stop()
		for _, want := range []struct {
			request reconcile.Request
			after   time.Duration
		}{{named("tenant", "sooner"), 2 * time.Minute}, {a, time.Hour}} {
			if got, _ := q.Get(); got != want.request || time.Since(began) != want.after {
				t.Errorf("got %v after %v, want %v after %v", got, time.Since(began), want.request, want.after)
			}
		}
	})
}

// Two workers wait. The event wakes one of them, and the pick of that worker wakes the other.
func TestEveryWorkerThatWaitsIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(Options{Workers: 4, RateLimiter: limiter(), Clock: clock.RealClock{}})
		defer q.ShutDown()
		got := make(chan reconcile.Request, 2)
		for range 2 {
			go func() {
				request, _ := q.Get()
				got <- request
			}()
		}
		synctest.Wait()
		q.AddWithOpts(priorityqueue.AddOpts{}, a, named("tenant", "b"))
		synctest.Wait()
		if len(got) != 2 {
			t.Errorf("%d of 2 workers have got an object", len(got))
		}
	})
}

// A worker that waits because its namespace holds its share continues when another worker is
// done.
func TestAWorkerIsWokenWhenTheShareOfItsNamespaceAllowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(Options{Workers: 2, RateLimiter: limiter(), Clock: clock.RealClock{}})
		defer q.ShutDown()
		q.AddWithOpts(priorityqueue.AddOpts{}, a, named("tenant", "b"))
		first, _ := q.Get()
		got := make(chan reconcile.Request, 1)
		go func() {
			request, _ := q.Get()
			got <- request
		}()
		synctest.Wait()
		if len(got) != 0 {
			t.Fatal("one namespace holds both workers")
		}
		q.Done(first)
		synctest.Wait()
		if len(got) != 1 {
			t.Error("the worker still waits")
		}
	})
}

func TestShutDownReleasesTheWorkersAndTakesNothingMore(t *testing.T) {
	q, _ := stepped(t)
	var workers sync.WaitGroup
	for range 3 {
		workers.Go(func() {
			if _, shutdown := q.Get(); !shutdown {
				t.Error("got an object from an empty queue")
			}
		})
	}
	q.ShutDown()
	q.ShutDown() // again, as controller-runtime and a test may both do
	workers.Wait()
	q.Add(a)
	if _, shutdown := q.Get(); !shutdown || !q.ShuttingDown() {
		t.Error("a queue that is shut down hands out an object")
	}
}

func TestDrainingFinishesWhatIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(Options{Workers: 10, RateLimiter: limiter(), Clock: clock.RealClock{}})
		b := named("tenant", "b")
		q.AddWithOpts(priorityqueue.AddOpts{}, a, b)
		q.AddAfter(named("tenant", "later"), time.Minute)
		q.expect(t, a, Ordinary)
		drained := false
		go func() {
			q.ShutDownWithDrain()
			drained = true
		}()
		synctest.Wait()
		q.Add(named("tenant", "too late"))
		<-time.After(time.Hour)
		q.expect(t, b, Ordinary)
		q.expectNothing(t)
		q.Done(b)
		synctest.Wait()
		if drained {
			t.Fatal("drained while an object is running")
		}
		q.Done(a)
		synctest.Wait()
		if _, shutdown := q.Get(); !shutdown || !drained {
			t.Errorf("drained: %v, shut down: %v", drained, shutdown)
		}
	})
}

// With many workers, many sources, timers and errors, each object runs alone and no object is
// lost.
func TestNothingIsLostAndNothingRunsTwiceAtOnce(t *testing.T) {
	const workers, objects, rounds = 8, 60, 20
	q := New(Options{Workers: workers, RateLimiter: limiter(), Clock: clock.RealClock{}})
	var running [objects]atomic.Bool
	var left [objects]atomic.Int64
	var rest, all sync.WaitGroup
	request := func(i int) reconcile.Request { return named(fmt.Sprint(i%5), fmt.Sprint(i)) }
	rest.Add(objects)
	for i := range objects {
		left[i].Store(rounds)
	}
	for range workers {
		all.Go(func() {
			for request, priority, shutdown := q.GetWithPriority(); !shutdown; request, priority, shutdown = q.GetWithPriority() {
				var i int
				_, _ = fmt.Sscan(request.Name, &i)
				if running[i].Swap(true) {
					t.Errorf("%v runs twice at once", request)
				}
				switch again := left[i].Add(-1); {
				case again == 0:
					rest.Done()
				case again > 0 && again%2 == 0:
					q.AddWithOpts(priorityqueue.AddOpts{After: time.Millisecond, Priority: &priority}, request)
				case again > 0:
					q.AddWithOpts(priorityqueue.AddOpts{Priority: ptr.To(1)}, request)
				}
				running[i].Store(false)
				q.Done(request)
			}
		})
	}
	for i := range objects {
		q.AddWithOpts(priorityqueue.AddOpts{Priority: ptr.To(rand.IntN(3))}, request(i))
	}
	rest.Wait()
	q.ShutDown()
	all.Wait()
}
