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

// Sight is the content of the volume. It is valid until the next Sight.
type Sight struct {
	// At is when this content was first seen.
	At time.Time `json:"at"`
	// Serial counts the tokens of the connection, as the simulated WorkOS does. 0: the volume
	// has no token.
	Serial int `json:"serial"`
	// ExpiresAt is the content of the file next to the token.
	ExpiresAt string `json:"expiresAt,omitempty"`
}

// interval is the time between two reads.
const interval = 50 * time.Millisecond

// read repeatedly reads the files of a mounted Secret, and writes a Sight as JSON after each
// change. It never writes a token.
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

// look reads both files of the same version of the Secret. The kubelet writes a changed Secret
// to a new directory and then changes the link ..data to that directory. A program that follows
// the link separately for each file may read files of two different versions.
func look(directory string) (Sight, error) {
	for {
		now, err := filepath.EvalSymlinks(filepath.Join(directory, "..data"))
		if err != nil {
			return Sight{}, err
		}
		token, tokenErr := os.ReadFile(filepath.Join(now, "access_token"))
		expiry, expiryErr := os.ReadFile(filepath.Join(now, "expires_at"))
		if _, err := os.Stat(now); errors.Is(err, fs.ErrNotExist) {
			continue // the Secret has changed in the meantime
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

// serialOf returns the serial in a token of the simulator: the part between the last two
// underscores.
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
