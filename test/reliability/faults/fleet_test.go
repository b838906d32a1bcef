//go:build reliability

package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// fleet are two replicas of which one works, and what the kubelet does for them: whoever ends is started again.
type fleet struct {
	replicas []*replica
	troubles *troubles

	mu sync.Mutex
	// expected are the ends that a fault has brought about.
	expected map[*program]bool
	errs     []error
}

// runFleet starts the replicas and keeps them running until the test, or stop, ends it.
func runFleet(t *testing.T, troubles *troubles, replicas ...*replica) (f *fleet, stop func()) {
	t.Helper()
	f = &fleet{replicas: replicas, troubles: troubles, expected: map[*program]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	var keeping sync.WaitGroup
	for _, r := range replicas {
		r.mustStart(t)
		keeping.Go(func() { f.keep(ctx, r) })
	}
	stop = sync.OnceFunc(func() { cancel(); keeping.Wait() })
	t.Cleanup(stop)
	return f, stop
}

// keep starts a replica again whenever it has ended, after a second, as the kubelet does at first.
func (f *fleet) keep(ctx context.Context, r *replica) {
	for {
		process := r.running()
		select {
		case <-ctx.Done():
			return
		case <-process.ended:
		}
		f.noteEnd(r, process)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		if err := r.start(); err != nil {
			f.noteError(err)
			return
		}
	}
}

// noteEnd keeps when a replica has ended that nobody has killed: it has lost its Lease, some time before. A race is not for it to
// decide on, but to report.
func (f *fleet) noteEnd(r *replica, process *program) {
	f.mu.Lock()
	expected := f.expected[process]
	f.mu.Unlock()
	if !expected {
		now := time.Now()
		f.troubles.add(trouble{from: now.Add(-renewDeadline), to: now.Add(untilTakenOver), what: r.name + " has ended"})
	}
	if code := process.cmd.ProcessState.ExitCode(); code == raceExit {
		f.noteError(fmt.Errorf("%s has ended because of a data race: see its log", r.name))
	}
}

func (f *fleet) noteError(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
}

// renewDeadline is how long a leader goes on without being able to renew its Lease, and untilTakenOver how long it takes until another
// one works, when it has been lost without a farewell: 15 seconds until the Lease is up, 2 to 4.4 until that is noticed, and the rest
// until its first passes have been made.
const (
	renewDeadline  = 10 * time.Second
	untilTakenOver = 25 * time.Second
)

// leader is the replica that has renewed the Lease last; nil when none has of late.
func (f *fleet) leader() *replica {
	var leading *replica
	var latest time.Time
	for _, r := range f.replicas {
		if at := r.door.leaseRenewed(); at.After(latest) {
			leading, latest = r, at
		}
	}
	if time.Since(latest) > 5*time.Second {
		return nil
	}
	return leading
}

// leaseRenewed is when the Lease was written last through this door.
func (d *door) leaseRenewed() time.Time {
	writes := d.written()
	for _, w := range slices.Backward(writes) {
		if w.isLease() && w.status == http.StatusOK && w.method == http.MethodPut {
			return w.at
		}
	}
	return time.Time{}
}

// kill ends a replica as a loss of power would. It comes back by itself.
func (f *fleet) kill(r *replica) {
	f.expect(r)
	leading := f.leader()
	r.kill()
	if leading == nil || leading == r {
		f.troubles.last(untilTakenOver, "the leader was killed")
	}
}

// freeze stops a replica for a while. One that has been stopped for longer than its Lease ends by itself when it goes on.
func (f *fleet) freeze(ctx context.Context, r *replica, span time.Duration) {
	f.expect(r)
	if leading := f.leader(); leading == nil || leading == r {
		f.troubles.last(untilTakenOver, "the leader was stopped")
	}
	r.pause()
	pass(ctx, span)
	r.resume()
}

func (f *fleet) expect(r *replica) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expected[r.running()] = true
}

// pass lets time pass, until ctx ends.
func pass(ctx context.Context, span time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(span):
	}
}
