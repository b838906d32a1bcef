package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Sight is what a reader found in the volume, from an instant until the next one that it tells of.
type Sight struct {
	// At is when it was first found.
	At time.Time `json:"at"`
	// Serial counts the tokens of the connection, as the simulated WorkOS does; 0: there is no token.
	Serial int `json:"serial"`
	// ExpiresAt is what the file beside the token says.
	ExpiresAt string `json:"expiresAt,omitempty"`
}

// interval is how often the files are read.
const interval = 50 * time.Millisecond

// read reads the files of a mounted Secret again and again, and writes a Sight as JSON whenever they have changed. It never
// writes a token.
func read(ctx context.Context, directory string, out io.Writer) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	encoder, last, first := json.NewEncoder(out), Sight{}, true
	for {
		sight, err := look(directory)
		if err != nil {
			return err
		}
		if first || sight != last {
			last, first = sight, false
			sight.At = time.Now().UTC()
			if err := encoder.Encode(sight); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look reads both files as of one moment. The kubelet puts a changed Secret into a new directory and then lets the link ..data
// point there; whoever goes through the link once for each file may get one file of the old Secret and one of the new.
func look(directory string) (Sight, error) {
	for {
		now, err := filepath.EvalSymlinks(filepath.Join(directory, "..data"))
		if err != nil {
			return Sight{}, err
		}
		token, tokenErr := os.ReadFile(filepath.Join(now, "access_token"))
		expiry, expiryErr := os.ReadFile(filepath.Join(now, "expires_at"))
		if _, err := os.Stat(now); errors.Is(err, fs.ErrNotExist) {
			continue // the Secret has changed meanwhile
		}
		switch {
		case errors.Is(tokenErr, fs.ErrNotExist) && errors.Is(expiryErr, fs.ErrNotExist):
			return Sight{}, nil
		case tokenErr != nil || expiryErr != nil:
			return Sight{}, errors.Join(tokenErr, expiryErr)
		}
		serial, err := serialOf(string(token))
		return Sight{Serial: serial, ExpiresAt: string(bytes.TrimSpace(expiry))}, err
	}
}

// serialOf is the serial of a token of the simulator: what stands between its last two underscores.
func serialOf(token string) (int, error) {
	parts := strings.Split(token, "_")
	if len(parts) < 3 {
		return 0, fmt.Errorf("a token of %d bytes is none of the simulator's", len(token))
	}
	serial, err := strconv.Atoi(parts[len(parts)-2])
	if err != nil {
		return 0, fmt.Errorf("a token of %d bytes is none of the simulator's", len(token))
	}
	return serial, nil
}
