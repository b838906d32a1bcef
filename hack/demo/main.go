// Command demo shows pipes-operator at work on this machine: a real etcd and kube-apiserver, the
// real operator, and a simulated WorkOS. It runs eight steps, and checks each against a deadline.
// `make demo` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/term"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	// The kernel kills the operator when the thread that started it ends. See process.Start.
	runtime.LockOSThread()
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	once := flags.Bool("once", false, "end after the last step; otherwise, in a terminal, stay up until Ctrl-C")
	since := flags.Int64("since", time.Now().Unix(), "when make demo began, in Unix seconds")
	if err := flags.Parse(os.Args[1:]); err != nil || flags.NArg() > 0 {
		os.Exit(exitUsage)
	}
	os.Exit(run(!*once && term.IsTerminal(int(os.Stdout.Fd())), time.Unix(*since, 0)))
}

// run runs the demo, and returns the exit code.
func run(stay bool, since time.Time) int {
	// The steps report what fails. A log of the clients would only hide that.
	ctrl.SetLogger(logr.Discard())
	// The context ends at the first signal. Later signals do not interrupt the cleanup. SIGPIPE
	// comes if the reader of stdout ends: without this, it would end the demo before the cleanup.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	err := play(ctx, stay, since)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "demo: stopped")
		return exitInterrupted
	default:
		fmt.Fprintln(os.Stderr, "demo:", err)
		return exitFailed
	}
}

// play runs the whole demo, and removes everything afterwards.
func play(ctx context.Context, stay bool, since time.Time) (err error) {
	assets, err := findAssets(os.Getenv("KUBEBUILDER_ASSETS"))
	if err != nil {
		return err
	}
	directory, err := os.MkdirTemp("", "pipes-demo-")
	if err != nil {
		return err
	}
	d := &demo{assets: assets, directory: directory, since: since}
	defer func() {
		fmt.Println("\nCleaning up")
		err = errors.Join(err, d.stop())
	}()
	fmt.Println("A demo of pipes-operator. It takes about a minute.")
	if err := d.start(ctx); err != nil {
		return err
	}
	fmt.Printf("\nTo use kubectl in another shell:\n%s", d.exports())
	steps := d.steps()
	r := &runner{look: d.look, dead: func() error { return d.operator.Dead() }, poll: 100 * time.Millisecond}
	if err := r.run(ctx, steps); err != nil {
		if ctx.Err() == nil {
			d.explain(ctx)
		}
		return err
	}
	fmt.Printf("\n%d steps passed\n", len(steps))
	if !stay {
		return nil
	}
	fmt.Printf("\nEverything stays up until Ctrl-C. In another shell:\n%s%s", d.exports(), suggestions)
	select {
	case <-ctx.Done():
		return nil
	case <-d.operator.Ended:
		return d.operator.Dead()
	}
}

const suggestions = `
  kubectl get pipestokens -w
  kubectl describe pipestoken slack-alice
  kubectl get events
  kubectl edit pipesenvironment default -n pipes-system   # withdraw a grant
  curl $SIMULATOR/connections
  curl $SIMULATOR/state -d '{"slug":"slack","userID":"user_01ALICE","state":"not_installed"}'
  curl $SIMULATOR/faults -d '{"kind":"server_error","times":3}'
  kubectl annotate pipestoken slack-alice --overwrite \
      pipes.workos.com/refresh-requested-at="$(date +%s)"   # ask WorkOS now

There is no node and no garbage collector: pods do not run, and the Secret of a
PipesToken that you delete stays.
`

// findAssets returns the directory as an absolute path, if it has the programs of a control plane.
func findAssets(directory string) (string, error) {
	const advice = "make demo gets etcd, kube-apiserver and kubectl, and sets KUBEBUILDER_ASSETS to their directory"
	if directory == "" {
		return "", errors.New("KUBEBUILDER_ASSETS is not set: " + advice)
	}
	directory, err := filepath.Abs(directory)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if _, err := exec.LookPath(filepath.Join(directory, name)); err != nil {
			return "", fmt.Errorf("KUBEBUILDER_ASSETS: %w: %s", err, advice)
		}
	}
	return directory, nil
}
