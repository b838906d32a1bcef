package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
)

// machine is what is asked of the machine that this runs on. Tests have machines of their own.
type machine struct {
	// goos is its operating system, as runtime.GOOS has it.
	goos string
	// bundles are the files that may have its CA certificates.
	bundles []string
	// lookPath finds a program, as exec.LookPath does.
	lookPath func(name string) (string, error)
	// gitPrograms is the directory of the programs that git runs.
	gitPrograms func() (string, error)
	// ldd is what ldd says of dynamically linked programs.
	ldd func(programs []string) (string, error)
}

func thisMachine() machine {
	return machine{
		goos:        runtime.GOOS,
		bundles:     bundles,
		lookPath:    exec.LookPath,
		gitPrograms: func() (string, error) { return output("git", "--exec-path") },
		ldd:         func(programs []string) (string, error) { return output("ldd", programs...) },
	}
}

func output(command string, args ...string) (string, error) {
	out, err := exec.CommandContext(context.Background(), command, args...).Output()
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		return "", fmt.Errorf("running %s: %w: %s", command, err, strings.TrimSpace(string(failed.Stderr)))
	case err != nil:
		return "", fmt.Errorf("running %s: %w", command, err)
	}
	return strings.TrimSpace(string(out)), nil
}
