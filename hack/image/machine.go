package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
)

// machine is the part of the local machine that this program uses. Tests replace it.
type machine struct {
	// goos is the operating system, as in runtime.GOOS.
	goos string
	// bundles are the files that may contain the CA certificates.
	bundles []string
	// lookPath finds a program, like exec.LookPath.
	lookPath func(name string) (string, error)
	// gitPrograms returns the directory of git's helper programs.
	gitPrograms func() (string, error)
	// ldd returns the output of ldd for dynamically linked programs.
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
