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

// The files in a place. The node makes kubeconfig appear when it is ready.
func (p place) kubeconfig() string         { return p.path("kubeconfig") }
func (p place) certificate() string        { return p.path("etc", "certificate.pem") }
func (p place) key() string                { return p.path("etc", "key.pem") }
func (p place) identity() string           { return p.path("node.pid") }
func (p place) savedHost() string          { return p.path("host.json") }
func (p place) log(program string) string  { return p.path("log", program+".log") }
func (p place) program(name string) string { return p.path("programs", name) }

// make creates the place for a node whose programs are in the directory programs. The place must
// not exist yet.
func (p place) make(programs string) error {
	err := os.Mkdir(string(p), 0o755)
	// The node sees the first three of these at /run, /var/lib and /var/log.
	for _, name := range []string{"run", "lib", "log", "etc", "etc/cni"} {
		if err == nil {
			err = os.Mkdir(p.path(name), 0o755)
		}
	}
	if err == nil {
		err = os.Symlink(programs, p.path("programs"))
	}
	if err != nil {
		return fmt.Errorf("making the directory of the cluster: %w", err)
	}
	return nil
}

// state is the state of the cluster on this machine.
type state string

const (
	absent   state = "absent"   // no cluster
	leftover state = "leftover" // a directory, but no process
	starting state = "starting" // process 1 is running, but not all programs are ready
	ready    state = "ready"    // all programs are ready
)

// state returns the state of the cluster, and the process ID of process 1 if it is running.
func (p place) state() (state, int, error) {
	if _, err := os.Stat(string(p)); errors.Is(err, fs.ErrNotExist) {
		return absent, 0, nil
	}
	text, err := os.ReadFile(p.identity())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return leftover, 0, fmt.Errorf("reading which process the cluster is: %w", err)
	}
	var pid int
	var since string
	// A file that cannot be read is one that `cluster up` was writing when it was killed.
	if n, _ := fmt.Sscan(string(text), &pid, &since); n < 2 || startOf(pid) != since {
		return leftover, 0, nil
	}
	if _, err := os.Stat(p.kubeconfig()); err == nil {
		return ready, pid, nil
	}
	return starting, pid, nil
}

// identify records which process is process 1 of the cluster. It records the ID and the start
// time, because the kernel reuses IDs.
func (p place) identify(pid int) error {
	if err := os.WriteFile(p.identity(), fmt.Appendf(nil, "%d %s\n", pid, startOf(pid)), 0o600); err != nil {
		return fmt.Errorf("recording which process the cluster is: %w", err)
	}
	return nil
}

// startOf returns when a process was started, in clock ticks since the machine started. It
// returns "" for a process that has ended, and for a zombie process.
func startOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The second field is the name of the program in parentheses, which may contain spaces. In
	// proc_pid_stat(5), the state is field 3 and the start time is field 22.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const state, start = 0, 22 - 3
	if len(fields) <= start || fields[state] == "Z" || fields[state] == "X" {
		return ""
	}
	return fields[start]
}

// tail returns the last lines of a file, or the error of reading it.
func tail(file string, lines int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
