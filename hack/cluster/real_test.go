//go:build linux && e2e

package main

import (
	"bytes"
	"context"
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
	if found, _, err := defaultPlace.look(); err != nil || found != absent {
		t.Fatalf("there is a cluster, or what is left of one (%v): run make cluster-down first", err)
	}
	t.Cleanup(func() { _, _ = target(t, "cluster-down") })
	before := look(t)

	expectPrints(t, "cluster-down", true, "cluster: there is none")
	expectPrints(t, "cluster-up", true, "export KUBECONFIG="+defaultPlace.kubeconfig())
	kubectl(t, "get", "nodes")
	expectPrints(t, "cluster-up", true, "cluster: up already")
	expectPrints(t, "cluster-down", true, "cluster: down")
	expectNoTrace(t, before)

	t.Log("killing it")
	expectPrints(t, "cluster-up", true, "cluster: up in")
	kubectl(t, "run", "pod", "--image=none")
	awaitCgroupOfPod(t)
	_, pid, err := defaultPlace.look()
	if err := errors.Join(err, syscall.Kill(pid, syscall.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(downLimit); time.Now().Before(deadline) && look(t).more(before) != ""; {
		time.Sleep(50 * time.Millisecond)
	}
	if left := look(t).more(before); left != "" {
		t.Errorf("killed, and still there: %s", left)
	}
	expectPrints(t, "cluster-up", false, fmt.Sprintf("cluster: %s is left from a run that was killed", defaultPlace))
	expectPrints(t, "cluster-down", true, "cluster: down")
	expectNoTrace(t, before)
}

func TestRealPortInUseStartsNothing(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	before := look(t)
	port := listener.Addr().(*net.TCPAddr).Port
	expectPrints(t, fmt.Sprintf("cluster-up CLUSTER_PORT=%d", port), false,
		fmt.Sprintf("cluster: 127.0.0.1:%d is in use", port))
	expectNoTrace(t, before)
}

func TestReallyNothingStartsWithoutRoot(t *testing.T) {
	program := filepath.Join(t.TempDir(), "cluster")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	for _, folder := range []string{program, filepath.Dir(program), filepath.Dir(filepath.Dir(program))} {
		if err := os.Chmod(folder, 0o755); err != nil { //nolint:gosec // G302: somebody without rights is to run it
			t.Fatal(err)
		}
	}
	before := look(t)
	for _, command := range []string{"check", "up", "down"} {
		cmd := exec.CommandContext(t.Context(), program, command)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		output, err := cmd.CombinedOutput()
		if err == nil || !bytes.HasPrefix(output, []byte("cluster: this takes root")) ||
			bytes.Count(output, []byte("\n")) != 1 {
			t.Errorf("%s: got %v, %s", command, err, output)
		}
	}
	expectNoTrace(t, before)
}

// target runs a make target and returns all of its output.
func target(t *testing.T, words string) (string, error) {
	t.Helper()
	// The cleanup after the test calls this too.
	ctx := context.WithoutCancel(t.Context())
	output, err := exec.CommandContext(ctx, "make",
		append([]string{"-C", "../.."}, strings.Fields(words)...)...).CombinedOutput()
	return string(output), err
}

func expectPrints(t *testing.T, words string, works bool, text string) {
	t.Helper()
	if output, err := target(t, words); (err == nil) != works || !strings.Contains(output, text) {
		t.Fatalf("make %s: got %v, %s; want %q", words, err, output, text)
	}
}

func kubectl(t *testing.T, args ...string) {
	t.Helper()
	program, err := exec.CommandContext(t.Context(), "../controlplane/install.sh").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(strings.TrimSpace(string(program)), "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+defaultPlace.kubeconfig())
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}

// awaitCgroupOfPod waits until the kubelet has created the cgroup of a pod.
func awaitCgroupOfPod(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		for _, hierarchy := range (cgroups{root: cgroupRoot}).hierarchies() {
			if found, _ := filepath.Glob(
				filepath.Join(hierarchy, cgroupName, "kubepods", "besteffort", "pod*")); len(found) > 0 {
				return
			}
		}
	}
	t.Fatal("there is no cgroup of a pod")
}

// expectNoTrace fails the test if the cluster left anything on the machine.
func expectNoTrace(t *testing.T, before sight) {
	t.Helper()
	if _, err := os.Stat(string(defaultPlace)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there", defaultPlace)
	}
	for _, hierarchy := range (cgroups{root: cgroupRoot}).hierarchies() {
		if _, err := os.Stat(filepath.Join(hierarchy, cgroupName)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the cgroup %s is still in %s", cgroupName, hierarchy)
		}
	}
	if left := look(t).more(before); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// sight is the state of the machine that a cluster might leave changed: the mounts, the
// interfaces, and the processes that look like processes of a cluster.
type sight map[string]bool

func look(t *testing.T) sight {
	t.Helper()
	found := sight{}
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
func (s sight) more(before sight) string {
	var more []string
	for what := range s {
		if !before[what] {
			more = append(more, what)
		}
	}
	return strings.Join(more, "; ")
}
