package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/pipes-operator/pipes-operator/hack/process"
)

// build is a run of go build, together with the compilers that it starts.
type build struct {
	log   string
	abort func() // kills the build and returns when it has ended
	ended chan struct{}
	err   error // result of the build; valid after ended is closed
}

// startBuild starts to build the programs of this repository in the background. They are kept in
// bin/, so that the next demo does not link them again.
func (d *demo) startBuild() error {
	ctx, cancel := context.WithCancel(context.Background())
	b := &build{log: d.space.path("build.log"), ended: make(chan struct{})}
	b.abort = func() { cancel(); <-b.ended }
	output, err := os.Create(b.log)
	if err != nil {
		cancel()
		return fmt.Errorf("building: %w", err)
	}
	defer func() { _ = output.Close() }() // go has its own copy
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", d.built("")+"/",
		"./cmd/pipes-operator", "./cmd/workos-simulator")
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = d.repo, output, output, process.Attributes()
	// The compilers are in the process group of go. This kills all of them.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		cancel()
		return fmt.Errorf("building: %w", err)
	}
	d.build = b
	told := d.guard.tell("started %d", cmd.Process.Pid)
	go func() {
		defer cancel()
		err := cmd.Wait()
		b.err = errors.Join(err, d.guard.tell("ended %d", cmd.Process.Pid))
		close(b.ended)
	}()
	return told
}

// awaitBuild waits until the build has ended.
func (d *demo) awaitBuild(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-d.build.ended:
	}
	if d.build.err != nil {
		return fmt.Errorf("building the operator and the simulator: %w\n%s", d.build.err, process.Tail(d.build.log, 30))
	}
	return nil
}
