package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/pipes-operator/pipes-operator/internal/audit"
	"github.com/pipes-operator/pipes-operator/internal/metrics"
)

// auditStdout is the value of --audit-log that stands for the standard output.
const auditStdout = "stdout"

// flushTimeout is how long the operator waits at its end until the audit log is written.
const flushTimeout = 5 * time.Second

// startAudit starts the audit log. target is a value of --audit-log; empty: there is no log. The
// caller must call end when nothing is recorded any more.
func startAudit(
	target string, counters *metrics.Metrics, clock clock.PassiveClock,
) (log *audit.Log, end func(), err error) {
	if target == "" {
		return nil, func() {}, nil
	}
	to, err := openAudit(target)
	if err != nil {
		return nil, nil, fmt.Errorf("--audit-log: %w", err)
	}
	logger := ctrl.Log.WithName("audit")
	log = audit.Start(audit.Options{To: to, Counted: counters.Audited, Logger: logger, Clock: clock})
	return log, func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
		defer cancel()
		if err := log.Close(ctx); err != nil {
			logger.Error(err, "Cannot write the last lines of the audit log")
		}
	}, nil
}

func openAudit(target string) (io.Writer, error) {
	if target != auditStdout {
		return audit.OpenFile(target)
	}
	// Otherwise a reader that ends would end the operator, too.
	signal.Ignore(syscall.SIGPIPE)
	return os.Stdout, nil
}
