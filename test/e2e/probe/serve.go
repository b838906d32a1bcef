package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// serve simulates github.com and api.github.com for a connection, on port 443. The directory
// contains tls.crt, tls.key and connection.json, which has the format of the simulator's control
// API. serve writes each request as a line of JSON, in the format of Request.
func serve(ctx context.Context, directory string, out io.Writer) error {
	text, err := os.ReadFile(filepath.Join(directory, "connection.json"))
	if err != nil {
		return err
	}
	connection, err := parseConnection(text)
	if err != nil {
		return err
	}
	repositories, err := os.MkdirTemp("", "repositories")
	if err != nil {
		return err
	}
	backend, err := newBackend(ctx, repositories)
	if err != nil {
		return err
	}
	server := &http.Server{
		Addr:              ":443",
		Handler:           newServer(connection, backend, out).handler(),
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12},
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err = server.ListenAndServeTLS(filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key"))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// parseConnection reads the fields of a connection that determine its tokens.
func parseConnection(text []byte) (workossim.Connection, error) {
	var parsed struct {
		workossim.ID
		TokenPrefix string `json:"tokenPrefix"`
	}
	if err := json.Unmarshal(text, &parsed); err != nil {
		return workossim.Connection{}, fmt.Errorf("reading the connection: %w", err)
	}
	return workossim.Connection{ID: parsed.ID, TokenPrefix: parsed.TokenPrefix}, nil
}
