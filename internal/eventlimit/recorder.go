// Package eventlimit limits the events of each namespace.
package eventlimit

import (
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
)

// client-go keeps each event for up to 12 minutes to count repeated events. A user who creates
// and deletes objects all the time would fill the operator's memory if the events had no limit.
// The conditions contain the same information and are never left out.
const (
	// eventsPerSecond and eventsBurst are limits for each namespace: at most 2,440 events in 12
	// minutes, or about 5 MiB.
	eventsPerSecond = 2
	eventsBurst     = 1000
	// mostEventNamespaces limits the number of limiters. If the number is reached, all limiters
	// start from scratch.
	mostEventNamespaces = 4096
)

// Recorder drops the events of a namespace that exceeds its rate limit.
type Recorder struct {
	events.EventRecorder
	clock clock.PassiveClock

	mu       sync.Mutex
	limiters map[string]flowcontrol.PassiveRateLimiter
}

// NewRecorder returns a Recorder that passes events on to recorder.
func NewRecorder(recorder events.EventRecorder, clock clock.PassiveClock) *Recorder {
	return &Recorder{EventRecorder: recorder, clock: clock, limiters: map[string]flowcontrol.PassiveRateLimiter{}}
}

// Eventf implements events.EventRecorder.
func (r *Recorder) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	if object, err := meta.Accessor(regarding); err == nil && !r.limiter(object.GetNamespace()).TryAccept() {
		return
	}
	r.EventRecorder.Eventf(regarding, related, kind, reason, action, note, args...)
}

func (r *Recorder) limiter(namespace string) flowcontrol.PassiveRateLimiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	limiter, known := r.limiters[namespace]
	if known {
		return limiter
	}
	if len(r.limiters) >= mostEventNamespaces {
		clear(r.limiters)
	}
	limiter = flowcontrol.NewTokenBucketPassiveRateLimiterWithClock(eventsPerSecond, eventsBurst, r.clock)
	r.limiters[namespace] = limiter
	return limiter
}
