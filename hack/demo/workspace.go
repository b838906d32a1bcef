package main

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// samples are the manifests that the user applies, and the seed of the simulator.
//
//go:embed *.yaml
var samples embed.FS

// simulatorAddress is the placeholder in the samples for the real address of the simulator.
const simulatorAddress = "127.0.0.1:8089"

// workspace is the directory for all files that a demo writes.
type workspace string

func newWorkspace() (workspace, error) {
	directory, err := os.MkdirTemp("", "pipes-demo-")
	if err != nil {
		return "", fmt.Errorf("making a directory for the demo: %w", err)
	}
	return workspace(directory), nil
}

// path returns the path of a file in the workspace.
func (w workspace) path(name ...string) string {
	return filepath.Join(append([]string{string(w)}, name...)...)
}

func (w workspace) write(name, content string) error {
	if err := os.WriteFile(w.path(name), []byte(content), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// writeSample writes a sample into the workspace, with the address of the simulator in it.
func (w workspace) writeSample(name, address string) error {
	content, err := samples.ReadFile(name)
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	return w.write(name, strings.ReplaceAll(string(content), simulatorAddress, address))
}

func (w workspace) remove() error {
	if err := os.RemoveAll(string(w)); err != nil {
		return fmt.Errorf("removing %s: %w", w, err)
	}
	return nil
}
