//go:build !linux

package process

import "syscall"

// Attributes put a program into its own process group. Ctrl-C then reaches only the starter,
// which ends all programs in order. On this platform, the program keeps running if the starter
// is killed.
func Attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
