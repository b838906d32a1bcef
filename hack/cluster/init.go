//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

const (
	// initCommand makes this program process 1 of the cluster. It is not for people.
	initCommand = "init"
	// nodeCommand makes this program the node. It is not for people.
	nodeCommand = "node"

	// What process 1 and the node get beside standard input, output and error.
	listenerFile = 3 // the port by which the machine reaches the API server
	reportFile   = 4 // where the node says that it is ready, or why not
)

// superviseNode is what process 1 does: it starts the node, and collects the processes whose parents have ended, as process 1
// of a machine does; among them are the shims of containerd. It ends with the node, and the kernel ends all others then.
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
	// Only the node may hold the pipe: its end tells that the node is gone.
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
