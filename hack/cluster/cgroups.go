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

// cgroupName is the cgroup that contains all pods, in every hierarchy.
const cgroupName = "pipes-operator-cluster"

// Files of a cgroup of version 2: the controllers that the cgroup has, and the controllers that
// it delegates to its children.
const (
	availableControllers = "cgroup.controllers"
	subtreeControl       = "cgroup.subtree_control"
)

// wantedControllers are the controllers without which the kubelet does not start. With version
// 2, the kubelet also requires hugetlb if the machine has it: see getSupportedUnifiedControllers
// in pkg/kubelet/cm of Kubernetes.
var wantedControllers = []string{"cpu", "cpuset", "memory", "pids"}

const optionalController = "hugetlb"

// cgroups are the control groups of the machine, version 1 or version 2. The value is the path of
// the root.
type cgroups string

func (c cgroups) path(name ...string) string {
	return filepath.Join(append([]string{string(c)}, name...)...)
}

// unified reports whether the machine has control groups of version 2 only.
func (c cgroups) unified() bool {
	_, err := os.Stat(c.path(availableControllers))
	return err == nil
}

// controllers returns the controllers that a file of the root of version 2 lists.
func (c cgroups) controllers(file string) ([]string, error) {
	text, err := os.ReadFile(c.path(file))
	if err != nil {
		return nil, fmt.Errorf("reading the cgroup controllers: %w", err)
	}
	return strings.Fields(string(text)), nil
}

// check returns an error if pods cannot have control groups on this machine.
func (c cgroups) check() error {
	// If this fails, there is no version 2.
	available, _ := c.controllers(availableControllers)
	for _, controller := range wantedControllers {
		_, err := os.Stat(c.path(controller, "cgroup.procs")) // version 1
		if err != nil && !slices.Contains(available, controller) {
			return fmt.Errorf("there is no cgroup controller %q under %s, which a kubelet needs: "+
				"mount it, or point KUBECONFIG at another cluster", controller, c)
		}
	}
	return nil
}

// hierarchies returns the directories in which the cluster needs a control group of its own.
func (c cgroups) hierarchies() []string {
	if c.unified() {
		return []string{string(c)}
	}
	// Glob fails only for a malformed pattern. This pattern is well-formed.
	found, _ := filepath.Glob(c.path("*", "cgroup.procs"))
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	// Controllers that are mounted together share a directory. Each of them is a symbolic link to
	// it.
	return slices.DeleteFunc(found, func(hierarchy string) bool {
		info, err := os.Lstat(hierarchy)
		return err != nil || !info.IsDir()
	})
}

// make creates the cgroup of the cluster.
func (c cgroups) make() error {
	for _, hierarchy := range c.hierarchies() {
		if err := os.Mkdir(filepath.Join(hierarchy, cgroupName), 0o755); err != nil {
			return fmt.Errorf("making the cgroup of the cluster: %w", err)
		}
	}
	if c.unified() {
		return c.enable()
	}
	return nil
}

// enable delegates the controllers from the root to the cgroup of the cluster, and from that
// cgroup to its children. Both levels are needed: systemd disables a controller in the root if
// no cgroup below it delegates the controller further.
func (c cgroups) enable() error {
	available, err := c.controllers(availableControllers)
	if err != nil {
		return err
	}
	enable := "+" + strings.Join(wantedControllers, " +")
	if slices.Contains(available, optionalController) {
		enable += " +" + optionalController
	}
	for _, file := range []string{c.path(subtreeControl), c.path(cgroupName, subtreeControl)} {
		if err := os.WriteFile(file, []byte(enable), 0o600); err != nil {
			return fmt.Errorf("enabling cgroup controllers "+
				"(in a container this takes the machine's cgroup namespace, as with --cgroupns=host): %w", err)
		}
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
				return err
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
	for _, entry := range entries {
		if err == nil && entry.IsDir() {
			err = removeCgroup(filepath.Join(group, entry.Name()))
		}
	}
	if err == nil {
		err = os.Remove(group)
	}
	return err
}
