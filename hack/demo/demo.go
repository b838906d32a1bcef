package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pipes-operator/pipes-operator/hack/process"
)

// demo is the state of a running demo.
type demo struct {
	out    *console
	assets string // the directory with etcd, kube-apiserver and kubectl
	repo   string // the directory of the module
	since  origin
	passed int // number of steps; 0 until all have passed

	space     workspace
	guard     *guard
	build     *build
	running   process.Fleet
	plane     controlPlane
	simulator simulator
	operator  operator
	watch     *observer
}

// origin is the instant from which the demo measures the time to the first Secret.
type origin struct {
	at   time.Time
	what string
}

// setUp starts all parts in order: each part needs the parts before it.
func (d *demo) setUp(ctx context.Context) error {
	var err error
	if d.repo, err = findRepository(ctx); err != nil {
		return err
	}
	if d.space, err = newWorkspace(); err != nil {
		return err
	}
	if d.guard, err = startGuard(string(d.space)); err != nil {
		return err
	}
	if err := d.startBuild(); err != nil {
		return err
	}
	for _, part := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"Starting etcd and kube-apiserver", d.startControlPlane},
		{"Installing config/default: CRDs, RBAC", d.install},
		{"Building the operator and the simulator", d.awaitBuild},
		{"Starting the simulated WorkOS", d.startSimulator},
		{"Starting the operator", d.startOperator},
	} {
		if err := d.out.busy(part.what, func() error { return part.do(ctx) }); err != nil {
			return err
		}
	}
	return d.prepareForUser()
}

// tearDown stops all running programs and removes the workspace. It may be called at any time,
// also after a partial setUp.
func (d *demo) tearDown() {
	if d.watch != nil {
		d.watch.close()
	}
	if d.build != nil {
		d.build.abort()
	}
	for _, p := range slices.Backward(d.running.All()) {
		_ = d.stop(p, p.Patience)
	}
	if d.space != "" {
		if err := d.space.remove(); err != nil {
			d.out.printf("%v: remove it by hand.\n", err)
		}
	}
	if d.guard != nil {
		d.guard.dismiss()
	}
}

// start starts a long-running program in the workspace, with its log there.
func (d *demo) start(name, path string, env []string, args ...string) (*process.Process, error) {
	// No context ends the program: tearDown stops all programs in order.
	cmd := exec.CommandContext(context.Background(), path, args...)
	cmd.Dir, cmd.Env = string(d.space), append(os.Environ(), env...)
	p, err := process.Start(name, d.space.path(strings.TrimPrefix(name, "pipes-")+".log"), cmd)
	if err != nil {
		return nil, err
	}
	p.Patience = 5 * time.Second
	d.running.Add(p)
	return p, d.guard.tell("started %d", p.PID())
}

// startReady calls attempt, which starts a program and waits until it is ready. If another
// process took a port first, it tries again with other ports.
func (d *demo) startReady(attempt func() (*process.Process, error)) (*process.Process, error) {
	const attempts = 3
	for i := 1; ; i++ {
		p, err := attempt()
		if err == nil {
			return p, nil
		}
		if p == nil || !p.PortTaken() || i == attempts {
			return p, err
		}
		_ = d.stop(p, 0)
	}
}

// stop stops a program.
func (d *demo) stop(p *process.Process, patience time.Duration) error {
	d.running.Remove(p)
	err := p.Stop(patience)
	return errors.Join(err, d.guard.tell("ended %d", p.PID()))
}

// program returns the path of a program of the control plane.
func (d *demo) program(name string) string { return filepath.Join(d.assets, name) }

// built returns the path of a program of this repository.
func (d *demo) built(name string) string { return filepath.Join(d.repo, "bin", "demo", name) }

// install installs config/default, waits for the CRDs, gives the operator its kubeconfig and
// starts to watch the cluster.
func (d *demo) install(ctx context.Context) error {
	if err := d.writeKubeconfig(adminKubeconfig, "you", d.plane.adminToken); err != nil {
		return err
	}
	if _, err := d.kubectl(ctx, "apply", "-k", filepath.Join(d.repo, "config", "default")); err != nil {
		return fmt.Errorf("kubectl apply -k config/default: %w", err)
	}
	if _, err := d.kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s",
		"crd/pipestokens.pipes.workos.com", "crd/pipesenvironments.pipes.workos.com"); err != nil {
		return fmt.Errorf("waiting for the CRDs: %w", err)
	}
	if err := d.giveRights(ctx); err != nil {
		return err
	}
	var err error
	d.watch, err = observe(ctx, d.plane.restConfig())
	return err
}

// prepareForUser writes the manifests that the user applies, and a file that prepares the user's
// shell.
func (d *demo) prepareForUser() error {
	for _, name := range []string{"environment", githubAlice.name, slackAlice.name, notionBob.name, linearCarol.name} {
		if err := d.space.writeSample(name+".yaml", d.simulator.address); err != nil {
			return err
		}
	}
	var script strings.Builder
	for _, variable := range d.userEnvironment() {
		fmt.Fprintf(&script, "export %s\n", variable)
	}
	fmt.Fprintf(&script, "export PATH=%s:\"$PATH\"\nexport SIMULATOR=%s\n", quote(d.assets), d.simulator.control())
	return d.space.write("env", script.String())
}

// findRepository returns the directory of the module in which the demo was started.
func findRepository(ctx context.Context) (string, error) {
	output, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("asking go for the module "+
			"(go has to be in PATH, and the demo started from the repository, by make demo): %w", err)
	}
	path, directory, _ := strings.Cut(strings.TrimSpace(string(output)), " ")
	if path != "github.com/pipes-operator/pipes-operator" {
		return "", fmt.Errorf("this is module %s: start the demo from the repository of pipes-operator, by make demo", path)
	}
	return directory, nil
}
