//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// host is the state of the machine outside the cluster that a cluster changes.
type host struct {
	sysctls string // the directory of the sysctls
	cgroups cgroups
}

var thisHost = host{sysctls: "/proc/sys", cgroups: "/sys/fs/cgroup"}

// kubeletSysctls are the sysctls that the kubelet sets for the whole machine when it starts:
// setupKernelTunables in pkg/kubelet/cm/container_manager_linux.go of Kubernetes.
var kubeletSysctls = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// save writes to a file the content of all files that the cluster is going to change.
func (h host) save(file string) error {
	var changed []string
	for _, name := range kubeletSysctls {
		changed = append(changed, filepath.Join(h.sysctls, name))
	}
	if h.cgroups.unified() {
		changed = append(changed, h.cgroups.path(subtreeControl))
	}
	saved := map[string]string{}
	for _, name := range changed {
		content, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("saving the state of the machine: %w", err)
		}
		saved[name] = string(content)
	}
	text, err := json.Marshal(saved)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	return err
}

// restore restores the content that save has written to a file. It does nothing if that file does
// not exist.
func restore(file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var saved map[string]string
	if err == nil {
		err = json.Unmarshal(text, &saved)
	}
	for name, content := range saved {
		if filepath.Base(name) == subtreeControl {
			err = errors.Join(err, disableOthers(name, strings.Fields(content)))
		} else {
			err = errors.Join(err, os.WriteFile(name, []byte(content), 0o600))
		}
	}
	if err != nil {
		return fmt.Errorf("restoring the state of the machine: %w", err)
	}
	return nil
}

// disableOthers makes a cgroup delegate only these controllers.
func disableOthers(file string, controllers []string) error {
	enabled, err := os.ReadFile(file)
	for _, controller := range strings.Fields(string(enabled)) {
		if !slices.Contains(controllers, controller) {
			// The kernel rejects this if another cgroup has started to use the controller.
			_ = os.WriteFile(file, []byte("-"+controller), 0o600)
		}
	}
	return err
}
