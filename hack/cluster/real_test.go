//go:build linux && e2e

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// This test starts real clusters. hack/e2e.sh runs it if no cluster exists yet.
func TestRealClustersComeAndGoWithoutATrace(t *testing.T) {
	if found, _, err := defaultPlace.state(); err != nil || found != absent {
		t.Fatalf("there is a cluster, or what is left of one (%v): run make cluster-down first", err)
	}
	t.Cleanup(func() { _ = remove(defaultPlace) })
	before := findTraces(t)

	expectPrints(t, "cluster-down", true, "cluster: there is none")
	listener, err := listenOnLoopback(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	expectPrints(t, fmt.Sprintf("cluster-up CLUSTER_PORT=%d", port), false, fmt.Sprintf(":%d is in use", port))
	_ = listener.Close()
	expectNoTrace(t, before)

	expectPrints(t, "cluster-up", true, "export KUBECONFIG="+defaultPlace.kubeconfig())
	kubectl(t, "get", "nodes")
	expectPrints(t, "cluster-up", true, "cluster: up already")
	expectPrints(t, "cluster-down", true, "cluster: down")
	expectNoTrace(t, before)

	// Now with a cluster whose process 1 is killed while a pod is starting.
	expectPrints(t, "cluster-up", true, "cluster: up in")
	kubectl(t, "run", "pod", "--image=none")
	awaitCgroupOfPod(t)
	_, pid, err := defaultPlace.state()
	if err := errors.Join(err, syscall.Kill(pid, syscall.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(downLimit); time.Now().Before(deadline) && findTraces(t).more(before) != ""; {
		time.Sleep(50 * time.Millisecond)
	}
	if left := findTraces(t).more(before); left != "" {
		t.Errorf("killed, and still there: %s", left)
	}
	expectPrints(t, "cluster-up", false, fmt.Sprintf("cluster: %s is left from a run that was killed", defaultPlace))
	expectPrints(t, "cluster-down", true, "cluster: down")
	expectNoTrace(t, before)
}

// expectPrints runs a make target, which must succeed or fail and print the text.
func expectPrints(t *testing.T, words string, succeeds bool, text string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", strings.Fields("-C ../.. "+words)...)
	output, err := cmd.CombinedOutput()
	if (err == nil) != succeeds || !strings.Contains(string(output), text) {
		t.Fatalf("make %s: got %v, %s; want %q", words, err, output, text)
	}
}

func kubectl(t *testing.T, args ...string) {
	t.Helper()
	script := `"$(../controlplane/install.sh)/kubectl" --kubeconfig "$0" "$@"`
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", script, defaultPlace.kubeconfig()}, args...)...)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}

// awaitCgroupOfPod waits until the kubelet has created the cgroup of a pod.
func awaitCgroupOfPod(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		for _, hierarchy := range thisHost.cgroups.hierarchies() {
			found, _ := filepath.Glob(filepath.Join(hierarchy, cgroupName, "kubepods/besteffort/pod*"))
			if len(found) > 0 {
				return
			}
		}
	}
	t.Fatal("there is no cgroup of a pod")
}

// expectNoTrace fails the test if the cluster left anything on the machine.
func expectNoTrace(t *testing.T, before traces) {
	t.Helper()
	if _, err := os.Stat(string(defaultPlace)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there", defaultPlace)
	}
	for _, hierarchy := range thisHost.cgroups.hierarchies() {
		if _, err := os.Stat(filepath.Join(hierarchy, cgroupName)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the cgroup %s is still in %s", cgroupName, hierarchy)
		}
	}
	if left := findTraces(t).more(before); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// traces are the state of the machine that a cluster might leave changed: the mounts, the
// interfaces, and the processes that look like processes of a cluster.
type traces map[string]bool

func findTraces(t *testing.T) traces {
	t.Helper()
	found := traces{}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for mount := range strings.Lines(string(mounts)) {
		found["mount "+mount] = true
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		found["interface "+i.Name] = true
	}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // Glob fails only for a malformed pattern
	for _, file := range files {
		line, _ := os.ReadFile(file) // the process may have ended in the meantime
		if bytes.Contains(line, []byte(defaultPlace)) || bytes.Contains(line, []byte("containerd-shim")) ||
			bytes.HasPrefix(line, []byte("/pause")) {
			found[file+" "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))] = true
		}
	}
	return found
}

// more returns the entries that were not in before.
func (s traces) more(before traces) string {
	var more []string
	for what := range s {
		if !before[what] {
			more = append(more, what)
		}
	}
	return strings.Join(more, "; ")
}
