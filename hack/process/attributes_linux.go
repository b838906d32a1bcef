package process

import "syscall"

// Attributes put a program into its own process group. Ctrl-C then reaches only the starter,
// which ends all programs in order. The kernel kills the program if the starter is killed.
func Attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
