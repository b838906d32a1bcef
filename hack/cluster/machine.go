//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// host is the machine state outside the cluster that a cluster changes.
type host struct {
	sysctls string // the directory of the sysctls
	cgroups cgroups
}

var thisHost = host{sysctls: "/proc/sys", cgroups: cgroups{root: cgroupRoot}}

// machineState is the state before the cluster changed it.
type machineState struct {
	// Sysctls are the values by name.
	Sysctls map[string]string `json:"sysctls"`
	// Controllers are those that the root cgroup delegated to its children. Only version 2 has
	// them.
	Controllers []string `json:"controllers,omitempty"`
}

// kubeletSysctls are the sysctls that the kubelet sets for the whole machine when it starts:
// setupKernelTunables in pkg/kubelet/cm/container_manager_linux.go of Kubernetes.
var kubeletSysctls = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// noteMachine saves to a file the state that the cluster is going to change.
func noteMachine(h host, file string) error {
	state := machineState{Sysctls: map[string]string{}}
	for _, name := range kubeletSysctls {
		value, err := os.ReadFile(filepath.Join(h.sysctls, name))
		if err != nil {
			return fmt.Errorf("reading a sysctl: %w", err)
		}
		state.Sysctls[name] = string(value)
	}
	if h.cgroups.unified() {
		controllers, err := h.cgroups.controllers(subtreeControl)
		if err != nil {
			return err
		}
		state.Controllers = controllers
	}
	text, err := json.Marshal(state)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("noting the state of the machine: %w", err)
	}
	return nil
}

// restoreMachine restores the state that noteMachine saved. It does nothing if the file does not
// exist.
func restoreMachine(h host, file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var state machineState
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	if err != nil {
		return fmt.Errorf("reading the state of the machine that was noted: %w", err)
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(state.Sysctls)) {
		errs = append(errs, os.WriteFile(filepath.Join(h.sysctls, name), []byte(state.Sysctls[name]), 0o600))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("putting the sysctls back: %w", err)
	}
	if h.cgroups.unified() {
		return h.cgroups.giveOnly(state.Controllers)
	}
	return nil
}

// giveOnly makes the root delegate only these controllers. It keeps a controller that another
// cgroup has started to use.
func (c cgroups) giveOnly(controllers []string) error {
	now, err := c.controllers(subtreeControl)
	if err != nil {
		return err
	}
	for _, controller := range now {
		if !slices.Contains(controllers, controller) {
			// The kernel rejects this while the controller is in use.
			_ = os.WriteFile(filepath.Join(c.root, subtreeControl), []byte("-"+controller), 0o600)
		}
	}
	return nil
}
