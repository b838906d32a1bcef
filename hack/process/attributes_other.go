//go:build !linux

package process

import "syscall"

// Attributes put a program into a process group of its own, so that Ctrl-C reaches the starter alone, which then ends everything
// in order. Should the starter be killed, nothing ends it here.
func Attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
