package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// guardFlag makes this program a guard. It is not for people.
const guardFlag = "--guard"

// guard is a second process of this program, which cleans up should the first be killed. It reads what there is to clean up
// from a pipe, and learns from the end of the pipe that the demo is gone.
type guard struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

// startGuard starts the guard of a directory.
func startGuard(directory string) (*guard, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("starting the guard: %w", err)
	}
	// It outlives the demo, so no context ends it and the kernel does not either.
	cmd := exec.CommandContext(context.Background(), executable, guardFlag)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the guard: %w", err)
	}
	g := &guard{cmd: cmd, pipe: pipe}
	return g, g.tell("directory %s", directory)
}

func (g *guard) tell(format string, args ...any) error {
	if _, err := fmt.Fprintf(g.pipe, format+"\n", args...); err != nil {
		return fmt.Errorf("telling the guard: %w", err)
	}
	return nil
}

// dismiss ends the guard, which does what is left to do.
func (g *guard) dismiss() {
	_ = g.pipe.Close()
	_ = g.cmd.Wait()
}

// keepGuard is what the guard runs: it reads until the demo is gone, and cleans up.
func keepGuard(in io.Reader) {
	directory, running := "", map[int]bool{}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var pid int
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "directory "):
			directory = strings.TrimPrefix(line, "directory ")
		case scan(line, "started %d", &pid):
			running[pid] = true
		case scan(line, "ended %d", &pid):
			delete(running, pid)
		}
	}
	for pid := range running {
		_ = syscall.Kill(pid, syscall.SIGKILL) // fails when it has ended
	}
	deadline := time.Now().Add(5 * time.Second)
	for pid := range running {
		awaitEnd(pid, deadline)
	}
	if directory != "" {
		_ = os.RemoveAll(directory)
	}
}

func scan(line, format string, pid *int) bool {
	_, err := fmt.Sscanf(line, format, pid)
	return err == nil
}

// awaitEnd waits until there is no such process, so that nothing is written while the directory is removed. It is not the
// guard's child, so it can only be looked for; and where nobody collects it, it is there for ever.
func awaitEnd(pid int, deadline time.Time) {
	for syscall.Kill(pid, 0) == nil && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
}
