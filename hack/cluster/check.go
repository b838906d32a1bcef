//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// machine describes the requirements of a cluster, as this machine meets them.
type machine struct {
	uid         int
	cgroups     cgroups
	filesystems string // as in /proc/filesystems
	overlaid    bool   // the directory of the cluster would be on overlayfs
	look        func(program string) error
}

func thisMachine() machine {
	// If this fails, filesystems is empty and check reports that overlay is missing.
	filesystems, _ := os.ReadFile("/proc/filesystems")
	var written syscall.Statfs_t
	// If this fails, written is zero, and place.make fails later.
	_ = syscall.Statfs(filepath.Dir(string(defaultPlace)), &written)
	return machine{
		overlaid: written.Type == overlayMagic,
		uid:      os.Geteuid(), cgroups: cgroups{root: cgroupRoot}, filesystems: string(filesystems),
		look: func(program string) error {
			_, err := exec.LookPath(program)
			return err
		},
	}
}

// check returns an error if a cluster cannot start now. It runs before the programs of the node
// are built, so it does not check them.
func check(ctx context.Context, o options) error {
	if err := thisMachine().check(); err != nil {
		return err
	}
	if found, _, err := o.place.look(); err != nil || found != absent {
		return cmp.Or(err, mayStart(o.place, found))
	}
	listener, err := listenOnLoopback(ctx, o.port)
	if err != nil {
		return err
	}
	return listener.Close()
}

// mayStart returns an error if an existing cluster prevents another start. A cluster that is
// ready is no error: `up` uses it.
func mayStart(p place, found condition) error {
	switch found {
	case remains:
		return fmt.Errorf("%s is left from a run that was killed: run make cluster-down, then this again", p)
	case starting:
		return errors.New("another make cluster-up is starting it: wait for that one, or end it with make cluster-down")
	default:
		return nil
	}
}

// check returns an error if the machine cannot run a cluster. The error says what to do.
func (m machine) check() error {
	if m.uid != 0 {
		return errors.New("this takes root, because a kubelet and containerd do: " +
			"run it as root, or point KUBECONFIG at another cluster")
	}
	if err := m.cgroups.check(); err != nil {
		return err
	}
	if !strings.Contains(m.filesystems, "\toverlay\n") {
		return errors.New("the kernel has no overlay filesystem, which images need: " +
			"modprobe overlay, or point KUBECONFIG at another cluster")
	}
	if m.overlaid {
		return fmt.Errorf("%s is on overlayfs, on which containerd cannot put images: mount a volume there",
			filepath.Dir(string(defaultPlace)))
	}
	return nil
}

// overlayMagic is OVERLAYFS_SUPER_MAGIC of statfs(2).
const overlayMagic = 0x794c7630

// checkPrograms returns an error if a program is missing.
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
			"kubelet", "kube-controller-manager", "kube-scheduler",
			"containerd", "containerd-shim-runc-v2", "ctr", "bridge", "host-local",
		}},
	} {
		for _, program := range needed.programs {
			if err := m.look(filepath.Join(needed.directory, program)); err != nil {
				return fmt.Errorf("%s: there is no program %s in %q: run make cluster-up, which gets it first",
					needed.flag, program, needed.directory)
			}
		}
	}
	return nil
}
