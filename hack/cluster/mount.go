//go:build linux

package main

import (
	"context"
	"fmt"
	"syscall"
)

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
