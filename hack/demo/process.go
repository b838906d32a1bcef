package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program that the demo has started and that goes on running. Only the demo stops it, by its own process ID;
// and on Linux the kernel does, should the demo itself be killed.
type process struct {
	name string
	log  string // the file with its output
	cmd  *exec.Cmd
	// patience is how long it is given to end in the end.
	patience time.Duration

	ended chan struct{}
	err   error // of its end; to be read once ended is closed
}

// start starts a program whose output goes to a file. It has to be called from the goroutine of main, which is locked to its
// thread: the kernel takes the end of the thread that has started a program for the end of the demo.
func start(name, log string, cmd *exec.Cmd) (*process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer func() { _ = output.Close() }() // the program has its own
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = attributes()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{name: name, log: log, cmd: cmd, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// dead is an error when the program has ended.
func (p *process) dead() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s has ended (%v)\nThe end of its log %s:\n%s", p.name, p.cmd.ProcessState, p.log, tail(p.log, 15))
	default:
		return nil
	}
}

// stop ends the program: kindly, and after patience by force. It returns what the program ended with.
func (p *process) stop(patience time.Duration) error {
	select {
	case <-p.ended:
		return p.err
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails when it has just ended by itself
	select {
	case <-p.ended:
		return p.err
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("%s was still running %s after SIGTERM", p.name, patience)
	}
}

// kill ends the program at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails when it has ended
	<-p.ended
}

// portTaken says whether the program has ended because somebody else was faster to take a port.
func (p *process) portTaken() bool {
	select {
	case <-p.ended:
		text, err := os.ReadFile(p.log)
		return err == nil && bytes.Contains(text, []byte("address already in use"))
	default:
		return false
	}
}

// freeAddresses are n addresses on loopback that nobody listens on.
func freeAddresses(ctx context.Context, n int) ([]string, error) {
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

// waitUntil tries something until it works, the program has ended, or time is up.
func (p *process) waitUntil(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTooLate)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return p.dead()
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errTooLate) {
				return fmt.Errorf("%s was not ready within %s: %w\nThe end of its log %s:\n%s", p.name, limit, err, p.log, tail(p.log, 15))
			}
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// listens is an error as long as nobody listens on an address.
func listens(ctx context.Context, address string) error {
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return connection.Close()
}

// fleet are the programs that should be running.
type fleet struct {
	mu      sync.Mutex
	members []*process
}

func (f *fleet) add(p *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members = append(f.members, p)
}

func (f *fleet) remove(gone *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members = slices.DeleteFunc(f.members, func(p *process) bool { return p == gone })
}

// all are the members, in the order in which they were started.
func (f *fleet) all() []*process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.members)
}

// dead is the error of the first program that has ended.
func (f *fleet) dead() error {
	for _, p := range f.all() {
		if err := p.dead(); err != nil {
			return err
		}
	}
	return nil
}

// tail is the end of a file, or why there is none.
func tail(file string, lines int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
