// Command probe runs in the pods of the end-to-end tests. It has three functions: it reads a
// mounted Secret, it is the server that checks the requests of the samples, and under the name
// gh it replaces the GitHub CLI.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, filepath.Base(os.Args[0]), os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, name string, args []string) error {
	switch {
	case name == "gh" && slices.Equal(args, ghArguments):
		return gh(ctx, http.DefaultClient, os.Getenv("GH_CONFIG_DIR"), os.Stdout)
	case name == "gh":
		return fmt.Errorf("this gh does nothing but: gh %s", ghArguments)
	case len(args) == 2 && args[0] == "read":
		return read(ctx, args[1], os.Stdout)
	case len(args) == 2 && args[0] == "serve":
		return serve(ctx, args[1], os.Stdout)
	default:
		return errors.New("use: probe read DIRECTORY, probe serve DIRECTORY")
	}
}
