//go:build linux

package main

import (
	"context"
	"fmt"
	"syscall"
)

// mount gives the node directories of its own where kubelet and containerd insist on certain paths. The mount namespace is
// the cluster's own, so the machine sees nothing of it.
func (n *node) mount(context.Context) error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		// Nothing that is mounted here reaches the machine, and nothing that is mounted there comes in; within the cluster
		// mounts propagate, which the kubelet needs.
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
