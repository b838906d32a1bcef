package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/pipes-operator/pipes-operator/hack/process"
)

// bench is one run.
type bench struct {
	parameters
	stdout io.Writer
	began  time.Time
	// work is a directory for what is not kept: credentials, and what etcd stores.
	work string
	// programs is the directory with this program, the operator and the simulator.
	programs string
	running  *process.Fleet
}

// measure is the whole run, clean-up included.
func measure(ctx context.Context, p parameters, stdout io.Writer) (err error) {
	b := &bench{parameters: p, stdout: stdout, began: time.Now(), running: &process.Fleet{}}
	if err := b.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	b.sayf("Measuring %v with %d PipesTokens; results and logs go to %s", b.Scenarios, b.Objects, b.out)
	results, err := b.runScenarios(ctx)
	if len(results) > 0 { // what was measured before something went wrong may have taken hours
		err = errors.Join(err, b.publish(results))
	}
	if ctx.Err() != nil {
		return errors.New("stopped")
	}
	return err
}

// prepare makes the directories and finds the programs.
func (b *bench) prepare() error {
	itself, err := os.Executable()
	if err != nil {
		return fmt.Errorf("looking for the programs to measure: %w", err)
	}
	b.programs = filepath.Dir(itself)
	for _, name := range []string{"pipes-operator", "workos-simulator"} {
		if _, err := os.Stat(filepath.Join(b.programs, name)); err != nil {
			return fmt.Errorf("looking for the programs to measure: %w: run make bench, which builds them", err)
		}
	}
	if b.work, err = os.MkdirTemp("", "pipes-bench-work-"); err != nil {
		return fmt.Errorf("making a directory to work in: %w", err)
	}
	if b.out == "" {
		b.out, err = os.MkdirTemp("", "pipes-bench-")
	} else {
		err = os.MkdirAll(b.out, 0o755)
	}
	if err != nil {
		return fmt.Errorf("making the directory for the results: %w", err)
	}
	return nil
}

// sayf tells whoever waits how far it is.
func (b *bench) sayf(format string, values ...any) {
	_, _ = fmt.Fprintf(b.stdout, "%6.0fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, values...))
}

// start starts one of the programs, with its log beside the results. It is ended with stop, and at once when ctx ends.
func (b *bench) start(ctx context.Context, name, program string, args ...string) (*process.Process, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(b.programs, program), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG=")
	p, err := process.Start(name, filepath.Join(b.out, name+".log"), cmd)
	if err != nil {
		return nil, err
	}
	b.running.Add(p)
	return p, nil
}

// stop ends a program kindly, in which it has to succeed.
func (b *bench) stop(p *process.Process) error {
	const patience = 30 * time.Second
	b.running.Remove(p)
	if err := p.Stop(patience); err != nil {
		return fmt.Errorf("stopping %s: %w\nThe end of its log %s:\n%s", p.Name, err, p.Log, process.Tail(p.Log, 15))
	}
	return nil
}
