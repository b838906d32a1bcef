// Command pipes-operator keeps valid access tokens from WorkOS Pipes in Kubernetes Secrets.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"

	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// gcPercent is how much the heap may grow before a garbage collection, unless GOGC is set. Most
// of the heap is caches, which stay, and each renewal allocates little. Therefore it costs less
// to collect more often than Go does by default than to use more memory
// (docs/explanation/performance.md).
const gcPercent = 30

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	options, logging := defaultOptions(), zap.Options{}
	options.bind(flag.CommandLine)
	logging.ZapOpts = append(logging.ZapOpts, lazily())
	logging.BindFlags(flag.CommandLine)
	printVersion := flag.Bool("version", false, "Print the version and exit.")
	flag.Parse()
	if *printVersion {
		fmt.Println(version)
		return
	}
	logger := zap.New(zap.UseFlagOptions(&logging))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	if err := options.validate(flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "pipes-operator: %v\nRun pipes-operator --help for all flags.\n", err)
		os.Exit(2)
	}
	if err := run(ctrl.SetupSignalHandler(), options); err != nil {
		logger.Error(err, "Cannot go on")
		os.Exit(1)
	}
}
