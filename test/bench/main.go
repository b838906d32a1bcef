// Command bench measures what the operator costs: a real etcd and kube-apiserver, the simulator and the operator, each a process of
// its own, on this machine alone. `make bench` runs it.
//
// Beside each figure stands that of the floor: the same binary as another process, which makes the same calls and writes with no
// controller, no cache and no watch. The results are a JSON file, tables and plots.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

// version is that of all that is measured, as git describes it. It is set when the programs are built.
var version = "dev"

func main() {
	// The kernel ends what was started by a thread that ends: all is started by this one, which lasts. See process.Start.
	runtime.LockOSThread()
	// What goes wrong in the clients is an error somewhere else.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process around it.
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
