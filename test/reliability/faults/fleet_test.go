//go:build reliability

package faults_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	programs "github.com/pipes-operator/pipes-operator/hack/process"
	"github.com/pipes-operator/pipes-operator/test/harness"
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

// replica is one replica of the operator: a process of its own, built with the race detector,
// with the rights of its service account. It reaches the API server through a wire and then a
// door.
type replica struct {
	name    string
	door    *door
	wire    *wire
	log     string
	metrics string
	command []string

	mu sync.Mutex
	// process is nil until a process has been started.
	process *programs.Process
	starts  int
}

// raceExit is the exit code of a replica after the race detector has found a race.
const raceExit = 66

// newReplica prepares a replica that reaches WorkOS through a wire. It does not start the
// replica. flags are added to the flags that every replica of the tests has.
func (s *site) newReplica(t *testing.T, name string, workos *wire, flags ...string) *replica {
	t.Helper()
	r := &replica{name: name, door: openDoor(t, s.plane), log: s.plane.path(name + ".log")}
	addresses, err := programs.FreeAddresses(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	r.metrics = addresses[0]
	r.wire = layWire(t, name, r.door.address())
	kubeconfig := s.plane.path(name + ".kubeconfig")
	if err := harness.WriteKubeconfig(kubeconfig, r.wire.address(), r.door.certificate(), s.operatorToken); err != nil {
		t.Fatal(err)
	}
	r.command = append([]string{
		"--kubeconfig=" + kubeconfig, "--zap-log-level=10",
		"--allow-insecure-upstream", "--allowed-upstream-hosts=" + workos.address(),
		"--metrics-bind-address=" + r.metrics, "--metrics-secure=false", "--health-probe-bind-address=0",
	}, flags...)
	t.Cleanup(r.kill)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replicas = append(s.replicas, r)
	return r
}

// start starts the process. The process must not be running.
func (r *replica) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	cmd := exec.Command(operatorBinary, r.command...)
	// A race ends the process, so it cannot be overlooked. The report is in the log.
	cmd.Env = []string{"HOME=/nonexistent", "GORACE=halt_on_error=1 exitcode=" + strconv.Itoa(raceExit)}
	process, err := harness.StartProgram(r.name, r.log, cmd)
	if err != nil {
		return err
	}
	r.process = process
	r.starts++
	return nil
}

// mustStart starts the process, and waits until its metrics port listens.
func (r *replica) mustStart(t *testing.T) {
	t.Helper()
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	err := r.running().WaitUntil(t.Context(), time.Minute, func(ctx context.Context) error { return programs.Listens(ctx, r.metrics) })
	if err != nil {
		t.Fatal(err)
	}
}

// running returns the process that was started last; nil if none was started.
func (r *replica) running() *programs.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

// kill ends the process, if one was started, as a loss of power of the node would.
func (r *replica) kill() {
	if process := r.running(); process != nil {
		process.Kill()
	}
}

// pause stops the process with SIGSTOP. resume lets it continue.
func (r *replica) pause()  { _ = syscall.Kill(r.running().PID(), syscall.SIGSTOP) }
func (r *replica) resume() { _ = syscall.Kill(r.running().PID(), syscall.SIGCONT) }

// scrape returns the metrics.
func (r *replica) scrape(ctx context.Context) (string, error) {
	text, err := harness.Get(ctx, http.DefaultClient, "http://"+r.metrics+"/metrics")
	return string(text), err
}
