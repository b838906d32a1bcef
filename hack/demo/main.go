// Command demo shows pipes-operator at work on this machine: a real etcd and kube-apiserver, the
// real operator, and a simulated WorkOS. It narrates seven steps and checks each of them against
// a deadline. `make demo` runs it.
//
// All programs that it starts listen on free ports of loopback. All files that it writes are in
// one temporary directory, except the programs that it builds into bin/demo. When the demo ends
// for any reason, it leaves no process running.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/term"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130

	usage = `The demo of pipes-operator. Run it with: make demo

It stays up after the last step, until Ctrl-C, if its output is a terminal.

Flags:
  --once   end after the last step

Environment:
  KUBEBUILDER_ASSETS   the directory with etcd, kube-apiserver and kubectl; make demo gets them
  NO_COLOR             anything: no colour
  DEMO_STARTED         when the whole began, in Unix seconds; make demo sets it
`
)

// stepError is the error of a failed step.
type stepError struct{ error }

func (e *stepError) Unwrap() error { return e.error }

// errStopped is the cause of a demo that was stopped, for example with Ctrl-C.
var errStopped = errors.New("stopped")

func main() {
	// The kernel kills a child process when the thread that started it ends. This goroutine
	// starts all programs, so it is locked to a thread that lasts. See process.Start.
	runtime.LockOSThread()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout *os.File, stderr io.Writer) int {
	if len(args) == 1 && args[0] == guardFlag {
		keepGuard(os.Stdin)
		return 0
	}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	once := flags.Bool("once", false, "")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(stdout, usage)
		return 0
	case err != nil || flags.NArg() > 0:
		_, _ = io.WriteString(stderr, usage)
		return exitUsage
	}
	assets, err := findAssets(os.Getenv("KUBEBUILDER_ASSETS"))
	if err != nil {
		return complain(stderr, err.Error(), exitUsage)
	}
	// Errors in the watches appear as failed steps, so their log is not needed.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	terminal := term.IsTerminal(int(stdout.Fd()))
	ctx, stop := stoppable()
	d := &demo{assets: assets, since: startOfMake(os.Getenv("DEMO_STARTED"), time.Now()), out: &console{
		out: stdout, broken: stop, colour: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}}
	return d.report(d.play(ctx, terminal && !*once), stderr)
}

// play runs the whole demo, including the cleanup.
func (d *demo) play(ctx context.Context, stay bool) (err error) {
	defer func() {
		// This cleanup runs after every failure, including a panic.
		if errors.Is(err, errStopped) {
			d.out.printf("\n") // the terminal has printed ^C
		}
		d.out.gap()
		d.out.printf("Cleaning up.\n")
		d.tearDown()
	}()
	d.out.title("A demo of pipes-operator; it takes about a minute")
	d.out.gap()
	if err := d.setUp(ctx); err != nil {
		return err
	}
	d.greet()
	steps := d.steps()
	r := &runner{out: d.out, poll: 100 * time.Millisecond, look: d.look, rows: d.watch.rows, dead: d.running.Dead}
	if err := r.run(ctx, steps); err != nil {
		if ctx.Err() == nil {
			d.explain(ctx, err)
		}
		return &stepError{err}
	}
	d.passed = len(steps)
	if !stay {
		return nil
	}
	d.verdict()
	d.help()
	return r.idle(ctx)
}

// report prints the result as the last line and returns the exit code.
func (d *demo) report(err error, stderr io.Writer) int {
	switch {
	case d.passed > 0 && (err == nil || errors.Is(err, errStopped)):
		d.verdict()
		return 0
	case errors.Is(err, errStopped):
		return complain(stderr, "stopped", exitInterrupted)
	case errors.As(err, new(*stepError)): // play has explained the failure already
		text, _, _ := strings.Cut(err.Error(), "\n")
		return complain(stderr, text, exitFailed)
	default:
		return complain(stderr, err.Error(), exitFailed)
	}
}

func complain(stderr io.Writer, text string, code int) int {
	_, _ = fmt.Fprintln(stderr, "demo:", text)
	return code
}

func (d *demo) verdict() { d.out.printf("demo: %d steps passed\n", d.passed) }

// stoppable returns a context that ends on the first signal to stop, when the parent process
// ends, or when stop is called. Further signals are ignored: the cleanup takes seconds and must
// not be interrupted.
func stoppable() (ctx context.Context, stop context.CancelCauseFunc) {
	ctx, stop = context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Without this, a write to a closed stdout pipe would kill the demo before the cleanup.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	parent := os.Getppid()
	go func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-signals:
				stop(errStopped)
			case <-tick.C:
				if os.Getppid() != parent { // make, or go run, was killed
					stop(errStopped)
				}
			}
		}
	}()
	return ctx, stop
}

// findAssets checks that the programs of the control plane exist.
func findAssets(directory string) (string, error) {
	if directory == "" {
		return "", errors.New("KUBEBUILDER_ASSETS is not set: " +
			"run make demo, which gets etcd, kube-apiserver and kubectl first")
	}
	directory, err := filepath.Abs(directory)
	if err != nil {
		return "", fmt.Errorf("KUBEBUILDER_ASSETS: %w", err)
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if _, err := exec.LookPath(filepath.Join(directory, name)); err != nil {
			return "", fmt.Errorf("KUBEBUILDER_ASSETS: %w: "+
				"run make demo, which gets etcd, kube-apiserver and kubectl first", err)
		}
	}
	return directory, nil
}

// startOfMake returns the start of make demo, given in Unix seconds. Without a valid number it
// returns now.
func startOfMake(seconds string, now time.Time) origin {
	began, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return origin{at: now, what: "the start of the demo"}
	}
	return origin{at: time.Unix(began, 0), what: "make demo"}
}
