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

// downLimit is how long the processes of a cluster may take to go once they are killed.
const downLimit = 30 * time.Second

// down ends the cluster, if there is one, and removes all that is left of it. Nothing in it is worth a farewell: when its
// process 1 ends, the kernel ends all others, pods included.
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

// end ends process 1, and waits until it is gone, which it is only after all others.
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
