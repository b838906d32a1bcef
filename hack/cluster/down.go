//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// downLimit is how long the processes of a cluster may take to end after they are killed.
const downLimit = 30 * time.Second

// down ends the cluster, if it exists, and removes everything that is left of it. It needs no
// graceful shutdown, because no state is kept: when process 1 of the cluster ends, the kernel
// kills all other processes, pods included.
func down(p place, stdout io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("this takes root, as make cluster-up does")
	}
	deadline := time.Now().Add(downLimit)
	found, pid, err := p.look()
	if err != nil {
		return err
	}
	if found.running() {
		if err := end(p, pid, deadline); err != nil {
			return err
		}
	}
	if err := (cgroups{root: cgroupRoot}).remove(deadline); err != nil {
		return err
	}
	if err := errors.Join(restoreMachine(thisHost, p.machine()), p.remove()); err != nil {
		return err
	}
	said := "down"
	if found == absent {
		said = "there is none"
	}
	_, err = fmt.Fprintln(stdout, "cluster:", said)
	return err
}

// end kills process 1 and waits until it is gone. The kernel removes process 1 only after all
// other processes of the cluster.
func end(p place, pid int, deadline time.Time) error {
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("ending the cluster: %w", err)
	}
	for time.Now().Before(deadline) {
		if found, _, err := p.look(); err != nil || !found.running() {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("ending the cluster: process %d is still there %s after it was killed", pid, downLimit)
}
