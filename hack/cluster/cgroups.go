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
	// cgroupName is the cgroup that contains all pods, in every hierarchy.
	cgroupName = "pipes-operator-cluster"
)

// cgroups are the control groups of the machine, version 1 or version 2.
type cgroups struct{ root string }

// wantedControllers are the controllers without which the kubelet does not start. With version
// 2, the kubelet also requires hugetlb if the machine has it: see getSupportedUnifiedControllers
// in pkg/kubelet/cm of Kubernetes.
var wantedControllers = []string{"cpu", "cpuset", "memory", "pids"}

const optionalController = "hugetlb"

// unified reports whether the machine has control groups of version 2 only.
func (c cgroups) unified() bool {
	_, err := os.Stat(filepath.Join(c.root, availableControllers))
	return err == nil
}

// check returns an error if pods cannot have control groups on this machine.
func (c cgroups) check() error {
	missing := func(controller string) error {
		return fmt.Errorf("there is no cgroup controller %q under %s, which a kubelet needs: "+
			"mount it, or point KUBECONFIG at another cluster", controller, c.root)
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

// hierarchies returns the directories in which the cluster needs a control group of its own.
func (c cgroups) hierarchies() []string {
	if c.unified() {
		return []string{c.root}
	}
	var found []string
	// Glob fails only for a malformed pattern. This pattern is well-formed.
	entries, _ := filepath.Glob(filepath.Join(c.root, "*", "cgroup.procs"))
	for _, entry := range entries {
		hierarchy := filepath.Dir(entry)
		// Controllers that are mounted together share a directory. Each of them is a symbolic
		// link to it.
		if info, err := os.Lstat(hierarchy); err == nil && info.IsDir() {
			found = append(found, hierarchy)
		}
	}
	return found
}

// make creates the cgroup of the cluster.
func (c cgroups) make() error {
	for _, hierarchy := range c.hierarchies() {
		group := filepath.Join(hierarchy, cgroupName)
		if err := os.Mkdir(group, 0o755); err != nil {
			return fmt.Errorf("making the cgroup of the cluster: %w", err)
		}
		if filepath.Base(hierarchy) != "cpuset" || c.unified() {
			continue
		}
		// With version 1, a cgroup accepts no process until these files are set.
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

// enable delegates the controllers from the root to the cgroup of the cluster, and from that
// cgroup to its children. Both levels are needed: systemd disables a controller in the root if
// no cgroup below it delegates the controller further.
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
			return fmt.Errorf("enabling cgroup controllers "+
				"(in a container this takes the machine's cgroup namespace, as with --cgroupns=host): %w", err)
		}
	}
	return nil
}

// Files of a cgroup of version 2: the controllers that the cgroup has, and the controllers that
// it delegates to its children.
const (
	availableControllers = "cgroup.controllers"
	subtreeControl       = "cgroup.subtree_control"
)

// controllers returns the controllers that one of these files of the root lists.
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

// remove removes the cgroup of the cluster and all cgroups in it. It waits until deadline for
// their processes to end.
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
			// A killed process takes a moment to end.
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

// removeCgroup removes a cgroup and its descendants, innermost first. The kernel removes the
// files of a cgroup together with the cgroup.
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
