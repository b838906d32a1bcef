//go:build reliability

package faults_test

import (
	"context"
	"fmt"
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

	"github.com/pipes-operator/pipes-operator/test/reliability/shipped"
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
	process *program
	starts  int
}

// raceExit is the exit code of a replica after the race detector has found a race.
const raceExit = 66

// newReplica prepares a replica that reaches WorkOS through a wire. It does not start the
// replica. flags are added to the flags that every replica of the tests has.
func (s *site) newReplica(t *testing.T, name string, workos *wire, flags ...string) *replica {
	t.Helper()
	r := &replica{name: name, door: openDoor(t, s.plane), log: s.plane.path(name + ".log"), metrics: freeAddress(t)}
	r.wire = layWire(t, name, r.door.address())
	config := clientcmdapi.NewConfig()
	config.Clusters["tests"] = &clientcmdapi.Cluster{Server: "https://" + r.wire.address(), CertificateAuthorityData: r.door.certificate()}
	config.AuthInfos["operator"] = &clientcmdapi.AuthInfo{Token: s.operatorToken}
	config.Contexts["tests"] = &clientcmdapi.Context{Cluster: "tests", AuthInfo: "operator", Namespace: shipped.Namespace}
	config.CurrentContext = "tests"
	kubeconfig := s.plane.path(name + ".kubeconfig")
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
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
	process, err := startProgram(r.name, r.log, cmd)
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
	awaitProgram(t, r.running(), time.Minute, func(ctx context.Context) error { return listens(ctx, r.metrics) })
}

// running returns the process that was started last; nil if none was started.
func (r *replica) running() *program {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

// kill ends the process, if one was started, as a loss of power of the node would.
func (r *replica) kill() {
	if process := r.running(); process != nil {
		process.kill()
	}
}

// pause stops the process with SIGSTOP. resume lets it continue.
func (r *replica) pause()  { r.running().signal(syscall.SIGSTOP) }
func (r *replica) resume() { r.running().signal(syscall.SIGCONT) }

// scrape returns the metrics.
func (r *replica) scrape(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.metrics+"/metrics", http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("/metrics answers %s", response.Status)
	}
	text, err := io.ReadAll(response.Body)
	return string(text), err
}
