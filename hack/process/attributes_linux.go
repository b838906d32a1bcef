package process

import "syscall"

// Attributes put a program into a process group of its own, so that Ctrl-C reaches the starter alone, which then ends everything
// in order; and have the kernel end the program should the starter be killed.
func Attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
