// Package process starts and ends the programs of which the demo and the local cluster consist.
package process

import (
	"bytes"
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

// ErrTooLate is what a context ends with when its time is up.
var ErrTooLate = errors.New("time is up")

// Process is a program that has been started and that goes on running. Only whoever has started it stops it, by its own
// process ID; and on Linux the kernel does, should the starter itself be killed.
type Process struct {
	// Name for people.
	Name string
	// Log is the file with its output.
	Log string
	// Patience is how long it is given to end in the end.
	Patience time.Duration
	// Ended is closed once it has ended.
	Ended chan struct{}

	cmd *exec.Cmd
	err error // of its end; to be read once Ended is closed
}

// Start starts a program whose output is appended to a file. It has to be called from a goroutine that is locked to a thread
// which lasts: the kernel takes the end of the thread that has started a program for the end of the starter.
func Start(name, log string, cmd *exec.Cmd) (*Process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer func() { _ = output.Close() }() // the program has its own
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

// PID is its process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Dead is an error when the program has ended.
func (p *Process) Dead() error {
	select {
	case <-p.Ended:
		return fmt.Errorf("%s has ended (%v)\nThe end of its log %s:\n%s", p.Name, p.cmd.ProcessState, p.Log, Tail(p.Log, 15))
	default:
		return nil
	}
}

// Stop ends the program: kindly, and after patience by force. It returns what the program ended with.
func (p *Process) Stop(patience time.Duration) error {
	select {
	case <-p.Ended:
		return p.err
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails when it has just ended by itself
	select {
	case <-p.Ended:
		return p.err
	case <-time.After(patience):
		p.Kill()
		return fmt.Errorf("%s was still running %s after SIGTERM", p.Name, patience)
	}
}

// Kill ends the program at once.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // fails when it has ended
	<-p.Ended
}

// PortTaken says whether the program has ended because somebody else was faster to take a port.
func (p *Process) PortTaken() bool {
	select {
	case <-p.Ended:
		text, err := os.ReadFile(p.Log)
		return err == nil && bytes.Contains(text, []byte("address already in use"))
	default:
		return false
	}
}

// FreeAddresses are n addresses on loopback that nobody listens on.
func FreeAddresses(ctx context.Context, n int) ([]string, error) {
	var addresses []string
	for range n {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		// Each is held until all are found, or the same one could come twice.
		defer func() { _ = listener.Close() }()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// WaitUntil tries something until it works, the program has ended, or time is up.
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
				return fmt.Errorf("%s was not ready within %s: %w\nThe end of its log %s:\n%s", p.Name, limit, err, p.Log, Tail(p.Log, 15))
			}
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// Listens is an error as long as nobody listens on an address.
func Listens(ctx context.Context, address string) error {
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return connection.Close()
}

// Tail is the end of a file, or why there is none.
func Tail(file string, lines int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
