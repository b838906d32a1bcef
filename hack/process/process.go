// Package process starts and stops the programs of the demo and of the local cluster.
package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// ErrTooLate is the cause of a context that ran out of time.
var ErrTooLate = errors.New("time is up")

// Process is a started, long-running program. Only its starter stops it, by its process ID. On
// Linux, the kernel kills it if the starter is killed.
type Process struct {
	// Name identifies the program in messages.
	Name string
	// Log is the file for its output.
	Log string
	// Ended is closed when the program has ended.
	Ended chan struct{}

	cmd *exec.Cmd
	err error // result of the program; valid after Ended is closed
}

// Start starts a program and appends its output to a file. The caller must run in a goroutine
// that is locked to a thread that lasts: on Linux, the kernel kills the program when the thread
// that started it ends.
func Start(name, log string, cmd *exec.Cmd) (*Process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer func() { _ = output.Close() }() // the program has its own copy
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = Attributes()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &Process{Name: name, Log: log, cmd: cmd, Ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.Ended)
	}()
	return p, nil
}

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Dead returns an error if the program has ended.
func (p *Process) Dead() error {
	select {
	case <-p.Ended:
		return fmt.Errorf("%s has ended (%v)\nThe end of its log %s:\n%s", p.Name, p.cmd.ProcessState, p.Log, Tail(p.Log, 15))
	default:
		return nil
	}
}

// Stop sends SIGTERM, and kills the program if it is still running after patience. It returns
// the result of the program, or an error if it had to be killed.
func (p *Process) Stop(patience time.Duration) error {
	select {
	case <-p.Ended:
		return p.err
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails if the program has just ended
	select {
	case <-p.Ended:
		return p.err
	case <-time.After(patience):
		p.Kill()
		return fmt.Errorf("%s was still running %s after SIGTERM", p.Name, patience)
	}
}

// Kill kills the program and waits until it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // fails if the program has ended already
	<-p.Ended
}

// FreeAddresses returns n loopback addresses on which no process listens.
func FreeAddresses(ctx context.Context, n int) ([]string, error) {
	var addresses []string
	for range n {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		// Hold each port until all are found. Otherwise the same port could come twice.
		defer func() { _ = listener.Close() }()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// WaitUntil calls try until it succeeds. It fails if the program ends, the context ends, or
// limit has passed.
func (p *Process) WaitUntil(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, ErrTooLate)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.Ended:
			return p.Dead()
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), ErrTooLate) {
				return fmt.Errorf("%s was not ready within %s: %w\nThe end of its log %s:\n%s",
					p.Name, limit, err, p.Log, Tail(p.Log, 15))
			}
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// Listens returns an error if no process listens on the address.
func Listens(ctx context.Context, address string) error {
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return connection.Close()
}

// Tail returns the last lines of a file, or the error of reading it.
func Tail(file string, lines int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
