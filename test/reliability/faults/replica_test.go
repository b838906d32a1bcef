//go:build reliability

package faults_test

import (
	"context"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	programs "github.com/pipes-operator/pipes-operator/hack/process"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

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
