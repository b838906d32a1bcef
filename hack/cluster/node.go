//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pipes-operator/pipes-operator/hack/process"
)

// node is the cluster as seen from the inside: it runs in the namespaces of the cluster.
type node struct {
	options
	pki     *pki
	running process.Fleet
}

// startLimit is how long a program may take to become ready.
const startLimit = time.Minute

// runNode starts all programs, reports that they are ready, and runs until one of them ends.
func runNode(ctx context.Context, o options) error {
	report := os.NewFile(reportFile, "report")
	n := &node{options: o}
	if err := n.start(ctx); err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		_, _ = fmt.Fprintln(report, first)
		return err
	}
	if err := os.WriteFile(n.place.ready(), nil, 0o600); err != nil {
		return fmt.Errorf("noting that the node is ready: %w", err)
	}
	// If `cluster up` was killed in the meantime, this write fails. No user knows about the
	// cluster then, so it ends.
	if _, err := fmt.Fprintln(report, readyWord); err != nil {
		return fmt.Errorf("telling that the node is ready: %w", err)
	}
	if err := report.Close(); err != nil {
		return fmt.Errorf("telling that the node is ready: %w", err)
	}
	return n.watch(ctx)
}

// start starts all parts in order: each part needs the parts before it.
func (n *node) start(ctx context.Context) error {
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"mounting", n.mount},
		{"making the network", n.makeNetwork},
		{"making certificates", n.makeCertificates},
		{"writing configuration", n.configure},
		{"etcd", n.startEtcd},
		{"kube-apiserver", n.startAPIServer},
		{"containerd", n.startContainerd},
		{"the sandbox image", n.importSandbox},
		{"the controllers", n.startControllers},
		{"the kubelet", n.startKubelet},
		{"the port on the machine", n.forward},
		{"waiting for the node", n.awaitReady},
	} {
		fmt.Println(time.Now().UTC().Format(time.RFC3339), step.what)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// watch returns an error when a program has ended: the cluster needs all of its programs.
func (n *node) watch(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			if err := n.running.Dead(); err != nil {
				return err
			}
		}
	}
}

// run starts a long-running program with its own log, and waits until it is ready.
func (n *node) run(ctx context.Context, path string, ready func(context.Context) error, args ...string) error {
	name := filepath.Base(path)
	p, err := process.Start(name, n.place.log(name), command(path, args...))
	if err != nil {
		return err
	}
	n.running.Add(p)
	return p.WaitUntil(ctx, startLimit, ready)
}
