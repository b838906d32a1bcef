//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	// cgroupName is the cgroup that all pods are in, of every hierarchy.
	cgroupName = "pipes-operator-cluster"
)

// cgroups are the control groups of the machine, of version 2 or 1.
type cgroups struct{ root string }

// wanted controllers, without which a kubelet does not start.
var wantedControllers = []string{"cpu", "cpuset", "memory", "pids"}

// unified says whether the machine has control groups of version 2 alone.
func (c cgroups) unified() bool {
	_, err := os.Stat(filepath.Join(c.root, "cgroup.controllers"))
	return err == nil
}

// check is an error when pods cannot have control groups here.
func (c cgroups) check() error {
	missing := func(controller string) error {
		return fmt.Errorf("there is no cgroup controller %q under %s, which a kubelet needs: mount it, or point KUBECONFIG at another cluster", controller, c.root)
	}
	if c.unified() {
		text, err := os.ReadFile(filepath.Join(c.root, "cgroup.controllers"))
		if err != nil {
			return fmt.Errorf("reading the cgroup controllers: %w", err)
		}
		for _, controller := range wantedControllers {
			if !strings.Contains(" "+strings.TrimSpace(string(text))+" ", " "+controller+" ") {
				return missing(controller)
			}
		}
		return nil
	}
	for _, controller := range wantedControllers {
		if _, err := os.Stat(filepath.Join(c.root, controller, "cgroup.procs")); err != nil {
			return missing(controller)
		}
	}
	return nil
}

// hierarchies are the directories of which each has a control group of ours.
func (c cgroups) hierarchies() []string {
	if c.unified() {
		return []string{c.root}
	}
	var found []string
	entries, _ := filepath.Glob(filepath.Join(c.root, "*", "cgroup.procs")) // the pattern is a good one
	for _, entry := range entries {
		found = append(found, filepath.Dir(entry))
	}
	return found
}

// make makes the cgroup of the cluster.
func (c cgroups) make() error {
	for _, hierarchy := range c.hierarchies() {
		group := filepath.Join(hierarchy, cgroupName)
		if err := os.Mkdir(group, 0o755); err != nil {
			return fmt.Errorf("making the cgroup of the cluster: %w", err)
		}
		if filepath.Base(hierarchy) != "cpuset" || c.unified() {
			continue
		}
		// Of version 1: without these a cgroup takes no process.
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			if err := inherit(hierarchy, group, name); err != nil {
				return err
			}
		}
	}
	if !c.unified() {
		return nil
	}
	enable := "+" + strings.Join(wantedControllers, " +")
	if err := os.WriteFile(filepath.Join(c.root, "cgroup.subtree_control"), []byte(enable), 0o600); err != nil {
		return fmt.Errorf("enabling the cgroup controllers (in a container this takes a cgroup namespace of its own): %w", err)
	}
	return nil
}

func inherit(from, to, name string) error {
	value, err := os.ReadFile(filepath.Join(from, name))
	if err == nil {
		err = os.WriteFile(filepath.Join(to, name), value, 0o600)
	}
	if err != nil {
		return fmt.Errorf("setting %s of the cgroup of the cluster: %w", name, err)
	}
	return nil
}

// remove removes the cgroup of the cluster and all in it, once their processes have ended.
func (c cgroups) remove(deadline time.Time) error {
	for _, hierarchy := range c.hierarchies() {
		for {
			err := removeCgroup(filepath.Join(hierarchy, cgroupName))
			if err == nil {
				break
			}
			if !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
				return fmt.Errorf("removing the cgroup of the cluster: %w", err)
			}
			time.Sleep(50 * time.Millisecond) // processes that were killed take a moment to go
		}
	}
	return nil
}

// removeCgroup removes a cgroup and those in it, innermost first. The files in a cgroup go with it.
func removeCgroup(group string) error {
	entries, err := os.ReadDir(group)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeCgroup(filepath.Join(group, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(group); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
