// Command bench measures the cost of the operator. It runs a real etcd and kube-apiserver, the
// simulator and the operator on this machine, each as a separate process. `make bench` runs it.
//
// Each figure is compared with the floor: this binary as another process that makes the same
// calls and writes, without a controller, a cache or a watch. The results are a JSON file,
// tables and plots.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

// version is the measured version of the code, from git describe. The linker sets it.
var version = "dev"

func main() {
	// Client errors are reported elsewhere, so these logs are not needed.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with testable inputs and outputs.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == floorCommand {
		return report(stderr, runFloor(ctx, args[1:]))
	}
	if len(args) > 0 && args[0] == mediansCommand {
		return report(stderr, runMedians(args[1:], stdout))
	}
	p, err := parseParameters(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "bench: %v\nRun bench --help for all flags.\n", err)
		return exitUsage
	}
	return report(stderr, measure(ctx, p, stdout))
}

func report(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "bench:", err)
	return exitFailed
}
