// Command workos-simulator serves internal/workossim as a program. A YAML file seeds it, HTTP
// requests control it, and it listens on loopback by default. Run it with --help for its flags.
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

// run parses the command line and serves until ctx ends. It returns the exit code.
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
