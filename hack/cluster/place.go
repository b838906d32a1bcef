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

// place is the directory with all that a cluster writes. There is one on a machine: that is what keeps two clusters from
// getting in each other's way.
type place string

// defaultPlace is where caches are that may be removed at any time, as a cluster for tests may.
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

// program is one of those of a node.
func (p place) program(name string) string { return p.path("programs", name) }

// make makes the place, which must not be there yet, for a node whose programs are in a directory.
func (p place) make(programs string) error {
	if err := os.Mkdir(string(p), 0o755); err != nil {
		return fmt.Errorf("making the directory of the cluster: %w", err)
	}
	// The node sees these three at /run, /var/lib and /var/log.
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

// remove removes the place and all that is in it. Nothing is mounted there: the mounts of a cluster are in its own mount
// namespace, which ends with it.
func (p place) remove() error {
	if err := os.RemoveAll(string(p)); err != nil {
		return fmt.Errorf("removing the directory of the cluster: %w", err)
	}
	return nil
}

// condition is what there is of a cluster.
type condition int

const (
	absent   condition = iota // nothing
	remains                   // a directory, but no process
	starting                  // process 1 is running, and not all that it starts
	ready                     // everything is
)

// running says whether process 1 of the cluster is.
func (c condition) running() bool { return c == starting || c == ready }

// look says what there is, with the process ID of process 1 where that is running.
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
		return remains, 0, nil // it was killed while it wrote
	}
	if started, running := startOf(id); !running || started != since {
		return remains, 0, nil // it has ended; its number may have been given to another process
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

// identify notes which process is process 1 of the cluster: its ID, and when it was started, since IDs are used again.
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

// startOf is when a process was started, in clock ticks since the machine was, if it is running. One that has ended and that
// nobody has collected is not.
func startOf(pid int) (started string, running bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false
	}
	// The second field, the name of the program in parentheses, may have spaces in it. Of proc_pid_stat(5), the state is field 3
	// and the start field 22.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const state, start = 0, 22 - 3
	if len(fields) <= start || fields[state] == "Z" || fields[state] == "X" {
		return "", false
	}
	return fields[start], true
}
