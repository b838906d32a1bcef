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

// host is where a cluster changes something of the machine that is not its own.
type host struct {
	sysctls string // the directory
	cgroups cgroups
}

var thisHost = host{sysctls: "/proc/sys", cgroups: cgroups{root: cgroupRoot}}

// machineState is what was there before a cluster changed it.
type machineState struct {
	// Sysctls by name.
	Sysctls map[string]string `json:"sysctls"`
	// Controllers that the root of the control groups gave on; with version 2 only.
	Controllers []string `json:"controllers,omitempty"`
}

// kubeletSysctls are those of the whole machine that a kubelet sets when it starts: setupKernelTunables in
// pkg/kubelet/cm/container_manager_linux.go of Kubernetes.
var kubeletSysctls = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// noteMachine notes in a file what a cluster is going to change.
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

// restoreMachine puts back what noteMachine has noted, if it has.
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

// giveOnly has the root give no other controllers than these, but for those that somebody else has come to use.
func (c cgroups) giveOnly(controllers []string) error {
	now, err := c.controllers(subtreeControl)
	if err != nil {
		return err
	}
	for _, controller := range now {
		if !slices.Contains(controllers, controller) {
			_ = os.WriteFile(filepath.Join(c.root, subtreeControl), []byte("-"+controller), 0o600) // refused while it is in use
		}
	}
	return nil
}
