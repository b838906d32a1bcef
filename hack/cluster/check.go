//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// overlayMagic is OVERLAYFS_SUPER_MAGIC in statfs(2).
const overlayMagic = 0x794c7630

// checkMachine returns an error if the machine cannot run a cluster. The error says what to do.
func checkMachine() error {
	if os.Geteuid() != 0 {
		return errNoRoot
	}
	if err := thisHost.cgroups.check(); err != nil {
		return err
	}
	filesystems, err := os.ReadFile("/proc/filesystems")
	if err != nil || !bytes.Contains(filesystems, []byte("\toverlay\n")) {
		return errors.New("the kernel has no overlay filesystem, which images need: " +
			"modprobe overlay, or point KUBECONFIG at another cluster")
	}
	parent := filepath.Dir(string(defaultPlace))
	var filesystem syscall.Statfs_t
	if err := syscall.Statfs(parent, &filesystem); err != nil || filesystem.Type == overlayMagic {
		return fmt.Errorf("%s is on overlayfs, on which containerd cannot store images: mount a volume there", parent)
	}
	return nil
}

var errNoRoot = errors.New("this takes root, because a kubelet and containerd do: " +
	"run it as root, or point KUBECONFIG at another cluster")

// check returns an error if a cluster cannot start now. A cluster that is up is no error. It runs
// before the programs of the node are built, so it does not check them.
func check(ctx context.Context, o options, _ []string) error {
	if err := checkMachine(); err != nil {
		return err
	}
	switch found, _, err := o.place.state(); {
	case err != nil || found == ready:
		return err
	case found == leftover:
		return fmt.Errorf("%s is left from a run that was killed: run make cluster-down, then this again", o.place)
	case found == starting:
		return errors.New("another make cluster-up is starting it: wait for that one, or end it with make cluster-down")
	}
	listener, err := listenOnLoopback(ctx, o.port)
	if err == nil {
		err = listener.Close()
	}
	return err
}

// listenOnLoopback opens the port by which the machine reaches the API server.
func listenOnLoopback(ctx context.Context, port int) (*net.TCPListener, error) {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use: choose another port, as in make cluster-up CLUSTER_PORT=%d", address, port+1)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the port of the API server: %w", err)
	}
	return listener.(*net.TCPListener), nil
}
