//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// place is the directory for all files that a cluster writes. A machine has only one, which
// prevents two clusters from interfering with each other.
type place string

// defaultPlace is in /var/cache because caches may be removed at any time, and a test cluster
// may be too.
const defaultPlace place = "/var/cache/pipes-operator-cluster"

func (p place) path(name ...string) string {
	return filepath.Join(append([]string{string(p)}, name...)...)
}

// The files and directories in a place.
func (p place) kubeconfig() string        { return p.path("kubeconfig") }
func (p place) identity() string          { return p.path("node.pid") }
func (p place) nodeLog() string           { return p.log("node") }
func (p place) containerdSocket() string  { return p.path("run", "containerd", "containerd.sock") }
func (p place) ready() string             { return p.path("ready") }
func (p place) machine() string           { return p.path("machine.json") } // see machineState
func (p place) log(program string) string { return p.path("log", program+".log") }

// program returns the path of a program of the node.
func (p place) program(name string) string { return p.path("programs", name) }

// make creates the place for a node whose programs are in the directory programs. The place must
// not exist yet.
func (p place) make(programs string) error {
	if err := os.Mkdir(string(p), 0o755); err != nil {
		return fmt.Errorf("making the directory of the cluster: %w", err)
	}
	// The node sees the first three of these at /run, /var/lib and /var/log.
	for _, name := range []string{"run", "lib", "log", "etc", "pki"} {
		if err := os.Mkdir(p.path(name), 0o755); err != nil {
			return fmt.Errorf("making the directory of the cluster: %w", err)
		}
	}
	if err := os.Symlink(programs, p.path("programs")); err != nil {
		return fmt.Errorf("making the directory of the cluster: %w", err)
	}
	return nil
}

// remove removes the place and everything in it. Nothing is mounted below it: the mounts of a
// cluster are in its own mount namespace, which ends with the cluster.
func (p place) remove() error {
	if err := os.RemoveAll(string(p)); err != nil {
		return fmt.Errorf("removing the directory of the cluster: %w", err)
	}
	return nil
}

// condition is the state of the cluster on this machine.
type condition int

const (
	absent   condition = iota // no cluster
	remains                   // a directory, but no process
	starting                  // process 1 is running, but not all programs are ready
	ready                     // all programs are ready
)

// running reports whether process 1 of the cluster is running.
func (c condition) running() bool { return c == starting || c == ready }

// look returns the condition of the cluster, and the process ID of process 1 if it is running.
func (p place) look() (condition, int, error) {
	if _, err := os.Stat(string(p)); errors.Is(err, fs.ErrNotExist) {
		return absent, 0, nil
	}
	text, err := os.ReadFile(p.identity())
	if errors.Is(err, fs.ErrNotExist) {
		return remains, 0, nil
	}
	if err != nil {
		return remains, 0, fmt.Errorf("reading which process the cluster is: %w", err)
	}
	var id int
	var since string
	if n, _ := fmt.Sscan(string(text), &id, &since); n < 2 {
		return remains, 0, nil // cluster up was killed while it wrote the file
	}
	if started, running := startOf(id); !running || started != since {
		// Process 1 has ended. The kernel may have reused its ID for another process.
		return remains, 0, nil
	}
	switch _, err := os.Stat(p.ready()); {
	case errors.Is(err, fs.ErrNotExist):
		return starting, id, nil
	case err != nil:
		return starting, id, fmt.Errorf("looking whether the cluster is up: %w", err)
	default:
		return ready, id, nil
	}
}

// identify records which process is process 1 of the cluster. It records the ID and the start
// time, because the kernel reuses IDs.
func (p place) identify(pid int) error {
	started, running := startOf(pid)
	if !running {
		return errors.New("noting which process the cluster is: it has ended at once")
	}
	if err := os.WriteFile(p.identity(), fmt.Appendf(nil, "%d %s\n", pid, started), 0o600); err != nil {
		return fmt.Errorf("noting which process the cluster is: %w", err)
	}
	return nil
}

// startOf reports whether a process is running, and when it was started, in clock ticks since
// the machine started. A zombie process does not count as running.
func startOf(pid int) (started string, running bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false
	}
	// The second field is the name of the program in parentheses, which may contain spaces. In
	// proc_pid_stat(5), the state is field 3 and the start time is field 22.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const state, start = 0, 22 - 3
	if len(fields) <= start || fields[state] == "Z" || fields[state] == "X" {
		return "", false
	}
	return fields[start], true
}
