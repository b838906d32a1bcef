package fairqueue

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// A hundred thousand timers must not need more memory than in the queue of controller-runtime.
func TestATimerCostsNoMoreThanInControllerRuntimesQueue(t *testing.T) {
	const timers = 100_000
	requests := make([]reconcile.Request, timers)
	for i := range requests {
		requests[i] = named(fmt.Sprint("namespace-", i%1000), fmt.Sprint("token-", i))
	}
	heap := func(q priorityqueue.PriorityQueue[reconcile.Request]) float64 {
		defer q.ShutDown()
		before := liveHeap()
		for i, request := range requests {
			q.AddAfter(request, time.Hour+time.Duration(i*7919%timers)*time.Second)
		}
		// In Len, the queue of controller-runtime takes in the objects that were added.
		q.Len()
		after := liveHeap()
		runtime.KeepAlive(q)
		return float64(after-before) / timers
	}
	theirs := heap(priorityqueue.New[reconcile.Request](""))
	ours := heap(New(Options{Workers: 20, RateLimiter: limiter(), Clock: clock.RealClock{}}))
	t.Logf("%.0f bytes for each timer, %.0f in controller-runtime's queue", ours, theirs)
	if ours > theirs {
		t.Errorf("%.0f bytes for each timer, %.0f in controller-runtime's queue", ours, theirs)
	}
	runtime.KeepAlive(requests)
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
