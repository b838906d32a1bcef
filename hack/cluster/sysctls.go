//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// kubeletSysctls are those of the whole machine that a kubelet sets when it starts: setupKernelTunables in
// pkg/kubelet/cm/container_manager_linux.go of Kubernetes.
var kubeletSysctls = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

const sysctlRoot = "/proc/sys"

// saveSysctls notes in a file what a kubelet is going to change.
func saveSysctls(root, file string) error {
	saved := map[string]string{}
	for _, name := range kubeletSysctls {
		value, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return fmt.Errorf("reading a sysctl: %w", err)
		}
		saved[name] = string(value)
	}
	text, err := json.Marshal(saved)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("noting the sysctls: %w", err)
	}
	return nil
}

// restoreSysctls puts back what saveSysctls has noted, if it has.
func restoreSysctls(root, file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	saved := map[string]string{}
	if err == nil {
		err = json.Unmarshal(text, &saved)
	}
	if err != nil {
		return fmt.Errorf("reading the sysctls that were noted: %w", err)
	}
	var errs []error
	for _, name := range kubeletSysctls {
		if value, noted := saved[name]; noted {
			errs = append(errs, os.WriteFile(filepath.Join(root, name), []byte(value), 0o600))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("putting the sysctls back: %w", err)
	}
	return nil
}
