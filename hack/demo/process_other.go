//go:build !linux

package main

import "syscall"

// attributes put a program into a process group of its own, so that Ctrl-C reaches the demo alone, which then ends everything
// in order. No kernel but Linux ends a program when its parent is killed: what a kill -9 of the demo leaves behind, the next
// demo ends (see sweep).
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
