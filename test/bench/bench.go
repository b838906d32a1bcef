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
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// bench is a run of the benchmark.
type bench struct {
	parameters
	stdout io.Writer
	began  time.Time
	// work is a temporary directory for credentials and for the data of etcd.
	work string
	// programs is the directory of this program, the operator and the simulator.
	programs string
	running  *process.Fleet
}

// measure runs the whole benchmark, including the cleanup.
func measure(ctx context.Context, p parameters, stdout io.Writer) (err error) {
	b := &bench{parameters: p, stdout: stdout, began: time.Now(), running: &process.Fleet{}}
	if err := b.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	b.sayf("Measuring %v with %d PipesTokens; results and logs go to %s", b.Scenarios, b.Objects, b.out)
	results, err := b.runScenarios(ctx)
	if len(results) > 0 { // the results so far may have taken hours
		err = errors.Join(err, b.publish(results))
	}
	if ctx.Err() != nil {
		return errors.New("stopped")
	}
	return err
}

// prepare creates the directories and checks that the programs exist.
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

// sayf prints the progress for the user.
func (b *bench) sayf(format string, values ...any) {
	_, _ = fmt.Fprintf(b.stdout, "%6.0fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, values...))
}

// start starts a program of the benchmark, with its log next to the results. Call stop to end
// it. If ctx ends first, the program is killed.
func (b *bench) start(ctx context.Context, name, program string, args ...string) (*process.Process, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(b.programs, program), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG=")
	p, err := harness.StartProgram(name, filepath.Join(b.out, name+".log"), cmd)
	if err != nil {
		return nil, err
	}
	b.running.Add(p)
	return p, nil
}

// stop sends SIGTERM to a program, which must then end without an error.
func (b *bench) stop(p *process.Process) error {
	const patience = 30 * time.Second
	b.running.Remove(p)
	if err := p.Stop(patience); err != nil {
		return fmt.Errorf("stopping %s: %w\nThe end of its log %s:\n%s", p.Name, err, p.Log, process.Tail(p.Log, 15))
	}
	return nil
}

// failure is an error that ends a scenario. The functions of a scenario panic with it, so that a
// scenario reads as a list of steps.
type failure struct{ error }

// check ends the scenario if there is an error.
func check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// must returns the value, or ends the scenario.
func must[T any](value T, err error) T {
	check(err)
	return value
}

// caught is deferred, before anything that cleans up, by the function that runs a scenario. It
// returns the failure in err.
func caught(err *error) {
	switch ended := recover().(type) {
	case nil:
	case failure:
		*err = errors.Join(ended.error, *err)
	default:
		panic(ended)
	}
}
