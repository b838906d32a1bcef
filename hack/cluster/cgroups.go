//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

// wantedControllers are those without which a kubelet does not start. It insists on hugetlb as well where the machine has it, but
// with version 2 only: getSupportedUnifiedControllers in pkg/kubelet/cm of Kubernetes.
var wantedControllers = []string{"cpu", "cpuset", "memory", "pids"}

const optionalController = "hugetlb"

// unified says whether the machine has control groups of version 2 alone.
func (c cgroups) unified() bool {
	_, err := os.Stat(filepath.Join(c.root, availableControllers))
	return err == nil
}

// check is an error when pods cannot have control groups here.
func (c cgroups) check() error {
	missing := func(controller string) error {
		return fmt.Errorf("there is no cgroup controller %q under %s, which a kubelet needs: mount it, or point KUBECONFIG at another cluster", controller, c.root)
	}
	if c.unified() {
		available, err := c.controllers(availableControllers)
		if err != nil {
			return err
		}
		for _, controller := range wantedControllers {
			if !slices.Contains(available, controller) {
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
		hierarchy := filepath.Dir(entry)
		// Controllers that are mounted together have one directory, and a link for each.
		if info, err := os.Lstat(hierarchy); err == nil && info.IsDir() {
			found = append(found, hierarchy)
		}
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
	return c.enable()
}

// enable gives the cgroup of the cluster its controllers, and lets it give them on. It does both: systemd takes from the root
// what no group below gives on.
func (c cgroups) enable() error {
	available, err := c.controllers(availableControllers)
	if err != nil {
		return err
	}
	controllers := wantedControllers
	if slices.Contains(available, optionalController) {
		controllers = append(slices.Clone(controllers), optionalController)
	}
	enable := []byte("+" + strings.Join(controllers, " +"))
	for _, group := range []string{c.root, filepath.Join(c.root, cgroupName)} {
		if err := os.WriteFile(filepath.Join(group, subtreeControl), enable, 0o600); err != nil {
			return fmt.Errorf("enabling cgroup controllers (in a container this takes the machine's cgroup namespace, as with --cgroupns=host): %w", err)
		}
	}
	return nil
}

// The files of a group of version 2 with the controllers that it has, and with those that it gives to the groups in it.
const (
	availableControllers = "cgroup.controllers"
	subtreeControl       = "cgroup.subtree_control"
)

// controllers are those in one of these files of the root.
func (c cgroups) controllers(file string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(c.root, file))
	if err != nil {
		return nil, fmt.Errorf("reading the cgroup controllers: %w", err)
	}
	return strings.Fields(string(text)), nil
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
