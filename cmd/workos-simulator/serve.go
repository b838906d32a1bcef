package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// patience is how long running requests may take after ctx has ended.
const patience = 5 * time.Second

// readSeed reads the file that --seed names. Without --seed it returns the zero Options.
func readSeed(file string) (workossim.Options, error) {
	if file == "" {
		return workossim.Options{}, nil
	}
	data, err := os.ReadFile(file) //nolint:gosec // G304: whoever starts the program names the file
	if err != nil {
		return workossim.Options{}, fmt.Errorf("--seed: %w", err)
	}
	options, err := workossim.ParseSeed(data)
	if err != nil {
		return workossim.Options{}, fmt.Errorf("--seed %s: %w", file, err)
	}
	return options, nil
}

// serve listens until ctx ends. Then it lets running requests finish, except the requests that
// the simulator holds.
func serve(ctx context.Context, c config, options workossim.Options) error {
	listener, err := net.ListenTCP("tcp", c.address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	defer func() { _ = listener.Close() }()
	if err := publish(c.addressFile, listener.Addr().String()); err != nil {
		return err
	}
	defer withdraw(c.addressFile)

	simulator := workossim.New(options)
	server := &http.Server{
		Handler:           simulator.WithControl(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(options.Logger.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	options.Logger.Info("Listening", "address", listener.Addr().String(),
		"apiKeys", len(options.APIKeys), "connections", len(options.Connections))
	select {
	case err := <-served:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	options.Logger.Info("Stopping")
	simulator.Close()
	return shutdown(server)
}

func shutdown(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close()
	}
	return err
}

// publish writes the address to a file in one step, so that a reader of the file always finds
// the whole address.
func publish(file, address string) error {
	if file == "" {
		return nil
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("writing --address-file: %w", err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // fails after the rename, as it should
	_, err = temporary.WriteString(address + "\n")
	if err = errors.Join(err, temporary.Chmod(0o644), temporary.Close()); err != nil {
		return fmt.Errorf("writing --address-file: %w", err)
	}
	if err := os.Rename(temporary.Name(), file); err != nil {
		return fmt.Errorf("writing --address-file: %w", err)
	}
	return nil
}

// withdraw removes the file that publish wrote.
func withdraw(file string) {
	if file != "" {
		_ = os.Remove(file)
	}
}
