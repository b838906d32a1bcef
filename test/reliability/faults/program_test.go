//go:build reliability

package faults_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is a child process: etcd, kube-apiserver or a replica of the operator. The tests signal
// only its own process ID. The kernel kills it when the test process ends, in whatever way.
type program struct {
	name string
	log  string
	cmd  *exec.Cmd
	// ended is closed when the process has ended.
	ended chan struct{}
}

// starts runs functions that start programs on one thread, which lives as long as the test
// process. This is necessary because the kernel kills a program when the thread that has started
// it ends.
var starts = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

// startProgram starts a program. Its output is appended to a file.
func startProgram(name, log string, cmd *exec.Cmd) (*program, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer func() { _ = output.Close() }() // the program has its own file descriptor
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	starts() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &program{name: name, log: log, cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the state of the process shows how it ended
		close(p.ended)
	}()
	return p, nil
}

// kill ends the program at once, and returns after it has ended.
func (p *program) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// signal sends a signal. It ignores the error, because the program may have ended.
func (p *program) signal(signal syscall.Signal) { _ = p.cmd.Process.Signal(signal) }

// awaitProgram calls try until it succeeds. It fails the test if the program ends before that.
func awaitProgram(t *testing.T, p *program, limit time.Duration, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-p.ended:
			t.Fatalf("%s has ended (%v)\n%s", p.name, p.cmd.ProcessState, endOf(p.log))
		case <-ctx.Done():
			t.Fatalf("%s was not ready within %s: %v\n%s", p.name, limit, err, endOf(p.log))
		case <-tick.C:
		}
	}
}

// freeAddress returns an address on loopback that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("looking for a free port: %v", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// listens returns an error while nothing listens on an address.
func listens(ctx context.Context, address string) error {
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return connection.Close()
}

// endOf returns the end of a log, for error messages.
func endOf(file string) string {
	const lines = 40
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return filepath.Base(file) + " ends with:\n" + strings.Join(all[max(0, len(all)-lines):], "\n")
}
