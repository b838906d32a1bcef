package main

import "syscall"

// attributes put a program into a process group of its own, so that Ctrl-C reaches the demo alone, which then ends everything
// in order; and have the kernel end the program should the demo be killed, even if its guard is killed as well.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
