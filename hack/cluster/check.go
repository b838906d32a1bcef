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
)

// machine is what a cluster needs of the machine.
type machine struct {
	uid         int
	cgroups     cgroups
	filesystems string // as in /proc/filesystems
	look        func(program string) error
}

func thisMachine() machine {
	filesystems, _ := os.ReadFile("/proc/filesystems") // empty: overlay will be missed
	return machine{
		uid: os.Geteuid(), cgroups: cgroups{root: cgroupRoot}, filesystems: string(filesystems),
		look: func(program string) error {
			_, err := exec.LookPath(program)
			return err
		},
	}
}

// check is an error when a cluster could not be started now, as far as that can be said before its programs are there.
func check(ctx context.Context, o options) error {
	if err := thisMachine().check(); err != nil {
		return err
	}
	switch found, _, err := o.place.look(); {
	case err != nil || found == alive: // which up says
		return err
	case found == remains:
		return leftover(o.place)
	}
	listener, err := listenOnLoopback(ctx, o.port)
	if err != nil {
		return err
	}
	return listener.Close()
}

// leftover is the error when there is something of a cluster that does not run.
func leftover(p place) error {
	return fmt.Errorf("%s is left from a run that was killed, or another is starting just now: run make cluster-down, then this again", p)
}

// check is an error when the machine cannot run a cluster. It says what to do.
func (m machine) check() error {
	if m.uid != 0 {
		return errors.New("this takes root, because a kubelet and containerd do: run it as root, or point KUBECONFIG at another cluster")
	}
	if err := m.cgroups.check(); err != nil {
		return err
	}
	if !strings.Contains(m.filesystems, "\toverlay\n") {
		return errors.New("the kernel has no overlay filesystem, which images need: modprobe overlay, or point KUBECONFIG at another cluster")
	}
	return nil
}

// checkPrograms is an error when a program is missing.
func (m machine) checkPrograms(o options) error {
	if err := m.look("runc"); err != nil {
		return errors.New("runc is not in PATH: install it, for example with apt-get install runc")
	}
	for _, needed := range []struct {
		flag, directory string
		programs        []string
	}{
		{"--control-plane", o.controlPlane, []string{"etcd", "kube-apiserver", "kubectl"}},
		{"--node", o.node, []string{
			"kubelet", "kube-controller-manager", "kube-scheduler", "containerd", "containerd-shim-runc-v2", "ctr", "bridge", "host-local",
		}},
	} {
		for _, program := range needed.programs {
			if err := m.look(filepath.Join(needed.directory, program)); err != nil {
				return fmt.Errorf("%s: there is no program %s in %q: run make cluster-up, which gets it first", needed.flag, program, needed.directory)
			}
		}
	}
	return nil
}
