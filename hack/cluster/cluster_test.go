//go:build linux

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"sigs.k8s.io/yaml"
)

// fits returns a machine that can run a cluster.
func fits(t *testing.T) machine {
	t.Helper()
	root := t.TempDir()
	for _, controller := range wantedControllers {
		write(t, filepath.Join(root, controller, "cgroup.procs"), "")
	}
	return machine{
		cgroups:     cgroups{root: root},
		filesystems: "nodev\ttmpfs\nnodev\toverlay\n",
		look:        func(string) error { return nil },
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestWhatAMachineLacksIsSaidInOneLineWithWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*machine)
		says   string
	}{
		"nothing": {func(*machine) {}, ""},
		"root": {func(m *machine) { m.uid = 1000 },
			"this takes root, because a kubelet and containerd do: run it as root, or point KUBECONFIG at another cluster"},
		"cgroups": {func(m *machine) { m.cgroups.root = t.TempDir() }, `there is no cgroup controller "cpu" under `},
		"one of the cgroups": {func(m *machine) { _ = os.RemoveAll(filepath.Join(m.cgroups.root, "pids")) },
			`there is no cgroup controller "pids" under `},
		"overlay": {func(m *machine) { m.filesystems = "nodev\ttmpfs\n" }, "modprobe overlay"},
		"a real disk": {func(m *machine) { m.overlaid = true },
			"/var/cache is on overlayfs, on which containerd cannot put images: mount a volume there"},
		"one of the unified cgroups": {func(m *machine) {
			m.cgroups.root = t.TempDir()
			write(t, filepath.Join(m.cgroups.root, "cgroup.controllers"), "cpuset cpu io memory\n")
		}, `there is no cgroup controller "pids" under `},
		"none of the unified cgroups": {func(m *machine) {
			m.cgroups.root = t.TempDir()
			write(t, filepath.Join(m.cgroups.root, "cgroup.controllers"), "cpuset cpu io memory pids\n")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := fits(t)
			test.change(&m)
			expectSays(t, m.check(), test.says)
		})
	}
}

// expectSays expects a one-line error that contains the text says. If says is empty, it expects
// no error.
func expectSays(t *testing.T, err error, says string) {
	t.Helper()
	switch {
	case says == "" && err != nil:
		t.Errorf("got %v", err)
	case says != "" && (err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n")):
		t.Errorf("got %v, want %q in one line", err, says)
	}
}

func TestMissingProgramsAreNamed(t *testing.T) {
	o := options{controlPlane: "/cp", node: "/n"}
	for missing, says := range map[string]string{
		"runc":         "runc is not in PATH: install it, for example with apt-get install runc",
		"/cp/etcd":     `--control-plane: there is no program etcd in "/cp": run make cluster-up, which gets it first`,
		"/n/kubelet":   `--node: there is no program kubelet in "/n"`,
		"nothing else": "",
	} {
		m := machine{look: func(program string) error {
			if program == missing {
				return exec.ErrNotFound
			}
			return nil
		}}
		expectSays(t, m.checkPrograms(o), says)
	}
}

func TestAPortThatIsTakenIsSaidWithAnother(t *testing.T) {
	listener, err := listenOnLoopback(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	var port int
	if port = portOf(t, listener); port == 0 {
		t.Fatal("no port")
	}
	_, err = listenOnLoopback(t.Context(), port)
	expectSays(t, err, fmt.Sprintf(
		"127.0.0.1:%d is in use: choose another port, as in make cluster-up CLUSTER_PORT=%d", port, port+1))
}

func TestWhatThereIsOfACluster(t *testing.T) {
	sleeper := exec.CommandContext(t.Context(), "sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	p := place(filepath.Join(t.TempDir(), "cluster"))
	expect := func(want condition, pid int) {
		t.Helper()
		if got, id, err := p.look(); err != nil || got != want || id != pid {
			t.Errorf("got %v, %d, %v; want %v, %d", got, id, err, want, pid)
		}
	}
	expect(absent, 0)
	if err := p.make("/programs"); err != nil {
		t.Fatal(err)
	}
	expect(remains, 0)
	if err := p.identify(sleeper.Process.Pid); err != nil {
		t.Fatal(err)
	}
	expect(starting, sleeper.Process.Pid)
	write(t, p.ready(), "")
	expect(ready, sleeper.Process.Pid)
	if err := sleeper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// A zombie process counts as ended.
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, running := startOf(sleeper.Process.Pid); !running {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not end")
		}
	}
	expect(remains, 0)
	_ = sleeper.Wait()
	// The kernel may reuse the process ID for another process.
	write(t, p.identity(), fmt.Sprintf("%d 1", os.Getpid()))
	expect(remains, 0)
	write(t, p.identity(), "nonsense")
	expect(remains, 0)
	if err := p.remove(); err != nil {
		t.Fatal(err)
	}
	expect(absent, 0)
}

func TestWhatIsInTheWayIsSaidWithWhatToDo(t *testing.T) {
	o := options{place: place(t.TempDir())}
	expectUp := func(says string) {
		t.Helper()
		expectSays(t, up(t.Context(), o, &bytes.Buffer{}), says)
		expectSays(t, check(t.Context(), o), says)
	}
	if thisMachine().check() == nil {
		expectUp(fmt.Sprintf("%s is left from a run that was killed: run make cluster-down, then this again", o.place))
	}
	if err := o.place.identify(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if thisMachine().check() == nil {
		expectUp("another make cluster-up is starting it: wait for that one, or end it with make cluster-down")
	}
	var printed bytes.Buffer
	expectSays(t, printKubeconfig(o.place, &printed), "there is no cluster: run make cluster-up")
	write(t, o.place.ready(), "")
	if err := up(t.Context(), o, &printed); err != nil ||
		printed.String() != "cluster: up already\nexport KUBECONFIG="+o.place.kubeconfig()+"\n" {
		t.Errorf("got %v, %s", err, printed.String())
	}
	printed.Reset()
	if err := printKubeconfig(o.place, &printed); err != nil || printed.String() != o.place.kubeconfig()+"\n" {
		t.Errorf("got %v, %s", err, printed.String())
	}
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	for line, says := range map[string]string{
		"":                 "say what to do: check, up, down, load or kubeconfig",
		"start":            `no command "start": use check, up, down, load or kubeconfig`,
		"down now":         `"now" is too much`,
		"up --port=x":      "invalid value",
		"up --nodes=3":     "flag provided but not defined",
		"load":             "load: name a tarball",
		"check --port=443": "",
	} {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(line), &stdout, &stderr)
		if says == "" {
			continue // the result depends on the machine
		}
		if code != exitUsage || !strings.Contains(stderr.String(), says) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%q: got %d, %q", line, code, stderr.String())
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run([]string{"--help"}, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "Usage:") {
		t.Errorf("got %d, %q", code, stdout.String())
	}
	var o options
	if _, err := o.parse([]string{"up", "--help"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v", err)
	}
}

func TestConfigurationIsWritten(t *testing.T) {
	p := place(filepath.Join(t.TempDir(), "cluster"))
	if err := p.make("/programs"); err != nil {
		t.Fatal(err)
	}
	n := &node{options: options{place: p, node: "/programs", sandboxImage: "localhost/pause:1"}}
	if err := n.configure(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(p.path("etc", "kubelet.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var kubelet map[string]any
	if err := yaml.UnmarshalStrict(text, &kubelet); err != nil || kubelet["cgroupRoot"] != "/"+cgroupName {
		t.Errorf("got %v, %v", kubelet, err)
	}
	for name, says := range map[string]string{
		"containerd.toml":        "sandbox = 'localhost/pause:1'",
		"cni/10-bridge.conflist": `"subnet": "` + podNetwork + `"`,
	} {
		if text, err := os.ReadFile(p.path("etc", name)); err != nil || !strings.Contains(string(text), says) {
			t.Errorf("%s: got %s, %v", name, text, err)
		}
	}
	if _, err := template.New("").ParseFS(templates, "templates/*"); err != nil {
		t.Error(err)
	}
}
