//go:build reliability

package faults_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	programs "github.com/pipes-operator/pipes-operator/hack/process"
)

// fleet is two replicas of which one leads. Like the kubelet, it starts a replica again after it
// has ended.
type fleet struct {
	replicas []*replica
	troubles *troubles

	mu sync.Mutex
	// expected are the processes that a fault has ended or stopped.
	expected map[*programs.Process]bool
	errs     []error
}

// runFleet starts the replicas and keeps them running until the test ends or stop is called.
func runFleet(t *testing.T, troubles *troubles, replicas ...*replica) (f *fleet, stop func()) {
	t.Helper()
	f = &fleet{replicas: replicas, troubles: troubles, expected: map[*programs.Process]bool{}}
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

// keep starts a replica again after each end, with a delay of a second, as the kubelet does at
// first.
func (f *fleet) keep(ctx context.Context, r *replica) {
	for {
		process := r.running()
		select {
		case <-ctx.Done():
			return
		case <-process.Ended:
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

// noteEnd notes that a replica has ended. If no fault has ended the process, it has lost its
// Lease some time before, and noteEnd adds a trouble for that time. An end because of a data race
// is an error.
func (f *fleet) noteEnd(r *replica, process *programs.Process) {
	f.mu.Lock()
	expected := f.expected[process]
	f.mu.Unlock()
	if !expected {
		now := time.Now()
		f.troubles.add(trouble{from: now.Add(-renewDeadline), to: now.Add(untilTakenOver), what: r.name + " has ended"})
	}
	var exit *exec.ExitError
	if errors.As(process.Stop(0), &exit) && exit.ExitCode() == raceExit {
		f.noteError(fmt.Errorf("%s has ended because of a data race: see its log", r.name))
	}
}

func (f *fleet) noteError(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
}

// renewDeadline bounds how long a leader continues without renewing its Lease: cmd/pipes-operator
// ends after 8 seconds. untilTakenOver bounds how long it takes until another replica works after
// the leader has ended without releasing its Lease: 10 seconds until the Lease expires, up to 2.2
// until another replica notices that, and the rest until its first reconciles are done.
const (
	renewDeadline  = 10 * time.Second
	untilTakenOver = 25 * time.Second
)

// leader returns the replica that has renewed the Lease last; nil if no replica has renewed it
// within 5 seconds.
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

// leaseRenewed is the time of the last write of the Lease through this door.
func (d *door) leaseRenewed() time.Time {
	writes := d.written()
	for _, w := range slices.Backward(writes) {
		if w.isLease() && w.status == http.StatusOK && w.method == http.MethodPut {
			return w.at
		}
	}
	return time.Time{}
}

// kill kills a replica, as a loss of power would. keep starts it again.
func (f *fleet) kill(r *replica) {
	f.expect(r)
	leading := f.leader()
	r.kill()
	if leading == nil || leading == r {
		f.troubles.last(untilTakenOver, "the leader was killed")
	}
}

// freeze stops a replica for that time and then resumes it. A replica that was stopped for longer
// than its Lease ends after it resumes.
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

// pass waits for that time, or until ctx ends.
func pass(ctx context.Context, span time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(span):
	}
}
