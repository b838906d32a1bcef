//go:build !linux

package main

import "syscall"

// attributes put a program into a process group of its own, so that Ctrl-C reaches the demo alone, which then ends everything
// in order. Should the demo be killed, the guard ends it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
