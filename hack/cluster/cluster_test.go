//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func expectContent(t *testing.T, file, want string) {
	t.Helper()
	if text, err := os.ReadFile(file); err != nil || string(text) != want {
		t.Errorf("%s: got %q, %v; want %q", filepath.Base(file), text, err, want)
	}
}

func TestMissingCgroupControllersAreReported(t *testing.T) {
	for name, test := range map[string]struct{ files, says string }{
		"version 1": {"cpu/cgroup.procs cpuset/cgroup.procs memory/cgroup.procs pids/cgroup.procs", "<nil>"},
		"none":      {"", `"cpu"`},
		"no memory": {"cpu/cgroup.procs cpuset/cgroup.procs pids/cgroup.procs", `"memory"`},
		"version 2": {"cgroup.controllers", "<nil>"},
	} {
		c := cgroups(t.TempDir())
		for _, file := range strings.Fields(test.files) {
			write(t, c.path(file), "cpuset cpu io memory pids\n")
		}
		if got := fmt.Sprint(c.check()); !strings.Contains(got, test.says) {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestControllersThatAreMountedTogetherAreOneHierarchy(t *testing.T) {
	c := cgroups(t.TempDir())
	write(t, c.path("cpu,cpuacct", "cgroup.procs"), "")
	if err := os.Symlink("cpu,cpuacct", c.path("cpu")); err != nil {
		t.Fatal(err)
	}
	if got := c.hierarchies(); len(got) != 1 || got[0] != c.path("cpu,cpuacct") {
		t.Errorf("got %v", got)
	}
}

func TestAPortInUseIsReportedWithAnotherPort(t *testing.T) {
	listener, err := listenOnLoopback(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	number := listener.Addr().(*net.TCPAddr).Port
	_, err = listenOnLoopback(t.Context(), number)
	want := fmt.Sprintf(":%d is in use: choose another port, as in make cluster-up CLUSTER_PORT=%d", number, number+1)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

func TestTheStateOfAClusterFollowsItsProcess(t *testing.T) {
	p := place(filepath.Join(t.TempDir(), "cluster"))
	expect := func(want state) {
		t.Helper()
		if got, _, err := p.state(); err != nil || got != want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
	}
	expect(absent)
	if err := p.make("/programs"); err != nil {
		t.Fatal(err)
	}
	expect(leftover)
	process := exec.CommandContext(t.Context(), "cat")
	pipe, err := process.StdinPipe()
	if err := errors.Join(err, process.Start(), p.identify(process.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	expect(starting)
	write(t, p.kubeconfig(), "")
	expect(ready)
	_ = pipe.Close()
	// A zombie process counts as ended.
	for deadline := time.Now().Add(10 * time.Second); startOf(process.Process.Pid) != "" && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	expect(leftover)
	_ = process.Wait()
	write(t, p.identity(), fmt.Sprintf("%d 1", os.Getpid())) // the kernel has reused the ID
	expect(leftover)
	write(t, p.identity(), "")
	expect(leftover)
}

func TestTheStateOfTheMachineIsRestored(t *testing.T) {
	h, file := host{sysctls: t.TempDir(), cgroups: cgroups(t.TempDir())}, filepath.Join(t.TempDir(), "host.json")
	write(t, h.cgroups.path(availableControllers), "cpuset cpu io memory hugetlb pids\n")
	write(t, h.cgroups.path(subtreeControl), "cpu memory pids\n")
	for _, name := range kubeletSysctls {
		write(t, filepath.Join(h.sysctls, name), "1\n")
	}
	if err := errors.Join(restore(file), h.save(file), h.cgroups.make()); err != nil {
		t.Fatal(err)
	}
	// The kernel takes a write to this file as a command. In this plain file, the command remains.
	for _, group := range []string{"", cgroupName} {
		expectContent(t, h.cgroups.path(group, subtreeControl), "+cpu +cpuset +memory +pids +hugetlb")
	}
	write(t, filepath.Join(h.sysctls, "kernel/panic"), "10\n")
	write(t, h.cgroups.path(subtreeControl), "cpuset cpu memory pids\n")
	if err := restore(file); err != nil {
		t.Fatal(err)
	}
	expectContent(t, filepath.Join(h.sysctls, "kernel/panic"), "1\n")
	expectContent(t, h.cgroups.path(subtreeControl), "-cpuset")
}

func TestConfigurationIsWritten(t *testing.T) {
	p := place(filepath.Join(t.TempDir(), "cluster"))
	n := &node{options: options{place: p, node: "/programs", sandboxImage: "localhost/pause:1", port: 6443}}
	if err := errors.Join(p.make("/programs"), n.makeCredentials(t.Context()), n.configure(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := tls.LoadX509KeyPair(p.certificate(), p.key()); err != nil {
		t.Error(err)
	}
	for file, says := range map[string]string{
		"etc/containerd.toml":        "sandbox = 'localhost/pause:1'",
		"etc/kubelet.yaml":           "cgroupRoot: /" + cgroupName,
		"etc/cni/10-bridge.conflist": `"subnet": "` + podNetwork + `"`,
		"etc/kubelet":                "server: https://127.0.0.1:443",
		"etc/tokens.csv":             ",system:node:node,system:node:node,system:nodes\n",
		"kubeconfig.new":             "server: https://127.0.0.1:6443",
	} {
		if text, err := os.ReadFile(p.path(file)); err != nil || !strings.Contains(string(text), says) {
			t.Errorf("%s: got %s, %v", file, text, err)
		}
	}
}
