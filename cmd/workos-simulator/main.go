// Command workos-simulator serves internal/workossim as a program: seeded from a YAML file, controlled over HTTP, bound to
// loopback unless told otherwise. Run it with --help for its flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

const (
	exitFailed   = 1
	exitBadInput = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process around it. It ends when ctx does.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parseFlags(args)
	if errors.Is(err, flag.ErrHelp) {
		_, _ = io.WriteString(stdout, usage)
		return 0
	}
	if err != nil {
		return complain(stderr, fmt.Errorf("%w; see --help", err), exitBadInput)
	}
	options, err := readSeed(c.seedFile)
	if err != nil {
		return complain(stderr, err, exitBadInput)
	}
	options.Logger = slog.New(slog.NewTextHandler(stderr, nil))
	if err := serve(ctx, c, options); err != nil {
		return complain(stderr, err, exitFailed)
	}
	return 0
}

func complain(stderr io.Writer, err error, code int) int {
	_, _ = fmt.Fprintln(stderr, "workos-simulator:", err)
	return code
}
