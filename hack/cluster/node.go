//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// initCommand makes this program process 1 of the cluster. Only `cluster up` uses it.
	initCommand = "init"
	// nodeCommand makes this program the node. Only process 1 uses it.
	nodeCommand = "node"

	// The files that process 1 and the node inherit besides standard input, output and error.
	listenerFile = 3 // the port by which the machine reaches the API server
	reportFile   = 4 // where the node reports that it is ready, or why it is not

	// stepLimit is how long a step of the start may take.
	stepLimit = 2 * time.Minute
)

// superviseNode is the main function of process 1. It starts the node. It also reaps orphaned
// processes, as process 1 of a machine does, for example the shims of containerd. It ends when
// the node ends, and then the kernel kills all other processes.
func superviseNode(_ context.Context, o options, _ []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	node, err := syscall.ForkExec(self, append([]string{self, nodeCommand}, o.arguments...), &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []uintptr{0, 1, 2, listenerFile, reportFile},
	})
	if err != nil {
		return fmt.Errorf("starting the node: %w", err)
	}
	// Only the node may hold the pipe: the reader sees the end of the pipe when the node ends.
	if err := syscall.Close(reportFile); err != nil {
		return fmt.Errorf("closing the node's pipe: %w", err)
	}
	for {
		var status syscall.WaitStatus
		switch pid, err := syscall.Wait4(-1, &status, 0, nil); {
		case pid == node:
			return fmt.Errorf("the node has ended with %d", status.ExitStatus())
		case err != nil && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("waiting for processes: %w", err)
		}
	}
}

// node is the cluster as seen from the inside: it runs in the namespaces of the cluster.
type node struct {
	options
	end context.CancelCauseFunc // ends the node
}

// runNode starts all programs, reports that they are ready, and runs until one of them ends: the
// cluster needs all of its programs.
func runNode(ctx context.Context, o options, _ []string) error {
	// The programs of the node must not inherit these files.
	syscall.CloseOnExec(listenerFile)
	syscall.CloseOnExec(reportFile)
	report := os.NewFile(reportFile, "report")
	ctx, end := context.WithCancelCause(ctx)
	n := &node{options: o, end: end}
	if err := n.start(ctx); err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		_, _ = fmt.Fprintln(report, first)
		return err
	}
	// If `cluster up` was killed in the meantime, this write fails. No user knows about the
	// cluster then, so it ends.
	_, err := fmt.Fprintln(report, readyReport)
	if err := errors.Join(err, report.Close()); err != nil {
		return fmt.Errorf("reporting that the node is ready: %w", err)
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// start starts all parts in order: each part needs the parts before it.
func (n *node) start(ctx context.Context) error {
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"mounting", n.mount},
		{"making the network", n.makeNetwork},
		{"making credentials", n.makeCredentials},
		{"writing configuration", n.configure},
		{"etcd", n.startEtcd},
		{"kube-apiserver", n.startAPIServer},
		{"containerd", n.startContainerd},
		{"the controllers", n.startControllers},
		{"the kubelet", n.startKubelet},
		{"the port on the machine", n.forward},
		{"waiting for the node", n.awaitReady},
	} {
		fmt.Println(time.Now().UTC().Format(time.RFC3339), step.what)
		limited, cancel := context.WithTimeoutCause(ctx, stepLimit, fmt.Errorf("not done within %s", stepLimit))
		err := step.do(limited)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// mount gives the node its own directories at the paths that the kubelet and containerd require.
// The cluster has its own mount namespace, so the machine does not see these mounts.
func (n *node) mount(context.Context) error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		// The first entry stops mounts from propagating between the machine and the cluster. The
		// second entry makes mounts propagate within the cluster, which the kubelet needs.
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"", "/", "", syscall.MS_REC | syscall.MS_SHARED},
		{"proc", "/proc", "proc", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC},
		{n.place.path("run"), "/run", "", syscall.MS_BIND},
		{n.place.path("lib"), "/var/lib", "", syscall.MS_BIND},
		{n.place.path("log"), "/var/log", "", syscall.MS_BIND},
	} {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("on %s: %w", m.target, err)
		}
	}
	return syscall.Sethostname([]byte(nodeName))
}

// run starts a long-running program with its own log, and waits until ready succeeds. The node ends
// when the program ends.
func (n *node) run(ctx context.Context, ready func(context.Context) error, path string, args ...string) error {
	name := filepath.Base(path)
	log, err := os.Create(n.place.log(name))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the program has its own copy
	// No context ends the program: it ends with the cluster.
	cmd := exec.CommandContext(context.Background(), path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait()
		n.end(fmt.Errorf("%s has ended (%v)\nThe end of its log:\n%s", name, cmd.ProcessState, tail(log.Name(), 15)))
	}()
	return await(ctx, ready)
}

// await calls ready until it succeeds. It fails with the last error at the end of the context.
func await(ctx context.Context, ready func(context.Context) error) error {
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
