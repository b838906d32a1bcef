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

// guardFlag makes this program the guard. Only the demo itself uses it.
const guardFlag = "--guard"

// guard is a second process of this program. It cleans up if the demo is killed. It reads from a
// pipe which programs and which directory to clean up. The end of the pipe means that the demo
// has ended.
type guard struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

// startGuard starts a guard that removes the directory at the end.
func startGuard(directory string) (*guard, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("starting the guard: %w", err)
	}
	// The guard outlives the demo. Therefore no context ends it, and it has no Pdeathsig.
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

// dismiss closes the pipe and waits for the guard, which cleans up the rest.
func (g *guard) dismiss() {
	_ = g.pipe.Close()
	_ = g.cmd.Wait()
}

// keepGuard is the main function of the guard. It reads until the demo has ended, and then
// cleans up.
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
		_ = syscall.Kill(pid, syscall.SIGKILL) // fails if the program has ended
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

// awaitEnd waits until the process is gone, so that no program writes to the directory while it
// is removed. The process is not a child of the guard, so the guard can only poll for it. A
// zombie process that is never reaped exists until the deadline.
func awaitEnd(pid int, deadline time.Time) {
	for syscall.Kill(pid, 0) == nil && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
}
