// Command probe is what runs in the pods of the end-to-end tests: a reader of a mounted Secret, and the servers that check what
// the samples send.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "read":
		return read(ctx, args[1], os.Stdout)
	default:
		return errors.New("use: probe read DIRECTORY")
	}
}
