//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

const (
	// initCommand makes this program process 1 of the cluster. Only `cluster up` uses it.
	initCommand = "init"
	// nodeCommand makes this program the node. Only process 1 uses it.
	nodeCommand = "node"

	// The files that process 1 and the node inherit besides standard input, output and error.
	listenerFile = 3 // the port by which the machine reaches the API server
	reportFile   = 4 // where the node reports that it is ready, or why it is not
)

// superviseNode is the main function of process 1. It starts the node. It also reaps orphaned
// processes, as process 1 of a machine does, for example the shims of containerd. It ends when
// the node ends, and then the kernel kills all other processes.
func superviseNode(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	node, err := syscall.ForkExec(self, append([]string{self, nodeCommand}, args...), &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []uintptr{0, 1, 2, listenerFile, reportFile},
	})
	if err != nil {
		return fmt.Errorf("starting the node: %w", err)
	}
	// Only the node may hold the pipe: the reader sees the end of the pipe when the node ends.
	if err := syscall.Close(reportFile); err != nil {
		return fmt.Errorf("closing the node's pipe: %w", err)
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("waiting for processes: %w", err)
		case pid == node:
			return fmt.Errorf("the node has ended with %d", status.ExitStatus())
		}
	}
}
