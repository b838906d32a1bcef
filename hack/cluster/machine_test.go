//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// newHost returns a host that has the kubelet's sysctls and control groups of version 2.
func newHost(t *testing.T, controllers string) host {
	t.Helper()
	h := host{sysctls: t.TempDir(), cgroups: cgroups{root: t.TempDir()}}
	for i, name := range kubeletSysctls {
		write(t, filepath.Join(h.sysctls, name), fmt.Sprintf("%d\n", i))
	}
	write(t, filepath.Join(h.cgroups.root, "cgroup.controllers"), controllers)
	write(t, filepath.Join(h.cgroups.root, subtreeControl), "cpu memory pids\n")
	return h
}

func TestTheMachineIsPutBack(t *testing.T) {
	h, file := newHost(t, "cpuset cpu io memory pids\n"), filepath.Join(t.TempDir(), "machine.json")
	if err := restoreMachine(h, file); err != nil {
		t.Errorf("when nothing is noted: %v", err)
	}
	if err := noteMachine(h, file); err != nil {
		t.Fatal(err)
	}
	for _, name := range kubeletSysctls {
		write(t, filepath.Join(h.sysctls, name), "99")
	}
	write(t, filepath.Join(h.cgroups.root, subtreeControl), "cpuset cpu memory pids\n")
	if err := restoreMachine(h, file); err != nil {
		t.Fatal(err)
	}
	for i, name := range kubeletSysctls {
		expectContent(t, filepath.Join(h.sysctls, name), fmt.Sprintf("%d\n", i))
	}
	// In the kernel, a write to this file is a command. In this plain file, the last command
	// remains.
	expectContent(t, filepath.Join(h.cgroups.root, subtreeControl), "-cpuset")
}

func TestEveryControllerThatAKubeletInsistsOnIsGivenOn(t *testing.T) {
	for controllers, enabled := range map[string]string{
		"cpuset cpu io memory pids\n":              "+cpu +cpuset +memory +pids",
		"cpuset cpu io memory hugetlb pids rdma\n": "+cpu +cpuset +memory +pids +hugetlb",
	} {
		h := newHost(t, controllers)
		if err := h.cgroups.make(); err != nil {
			t.Fatal(err)
		}
		expectContent(t, filepath.Join(h.cgroups.root, subtreeControl), enabled)
		expectContent(t, filepath.Join(h.cgroups.root, cgroupName, subtreeControl), enabled)
	}
}

func TestControllersThatAreMountedTogetherAreOneHierarchy(t *testing.T) {
	c := cgroups{root: t.TempDir()}
	write(t, filepath.Join(c.root, "cpu,cpuacct", "cgroup.procs"), "")
	for _, name := range []string{"cpu", "cpuacct"} {
		if err := os.Symlink("cpu,cpuacct", filepath.Join(c.root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := c.hierarchies(), []string{filepath.Join(c.root, "cpu,cpuacct")}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func expectContent(t *testing.T, file, want string) {
	t.Helper()
	if text, err := os.ReadFile(file); err != nil || string(text) != want {
		t.Errorf("%s: got %q, %v; want %q", filepath.Base(file), text, err, want)
	}
}
