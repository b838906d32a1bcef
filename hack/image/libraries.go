package main

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// closure is what dynamically linked programs need beside themselves.
type closure struct {
	interpreters []string          // their paths
	libraries    map[string]string // by the name that programs have for it: its path
}

// readClosure finds all that programs need, and that which this needs in turn.
func readClosure(programs map[string]linkage, ldd func([]string) (string, error)) (closure, error) {
	interpreters := map[string]bool{}
	var dynamic []string
	for file, linked := range programs {
		if !linked.static() {
			interpreters[linked.interpreter] = true
			dynamic = append(dynamic, file)
		}
	}
	if len(dynamic) == 0 {
		return closure{}, nil
	}
	slices.Sort(dynamic)
	out, err := ldd(dynamic)
	if err != nil {
		return closure{}, fmt.Errorf("looking for libraries: %w", err)
	}
	libraries, err := parseLdd(out)
	if err != nil {
		return closure{}, fmt.Errorf("looking for libraries: %w", err)
	}
	if libraries["libc.so.6"] == "" {
		return closure{}, errors.New("the programs of this machine do not use glibc: build the tools image where they do, such as on Debian")
	}
	return closure{interpreters: slices.Sorted(maps.Keys(interpreters)), libraries: libraries}, nil
}

// parseLdd reads lines such as `libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f…)`. Those without an arrow are names of
// programs, the interpreter, and what the kernel provides.
func parseLdd(out string) (map[string]string, error) {
	libraries := map[string]string{}
	for line := range strings.Lines(out) {
		name, found, arrow := strings.Cut(strings.TrimSpace(line), " => ")
		if !arrow {
			continue
		}
		file, _, _ := strings.Cut(found, " (")
		switch {
		case !path.IsAbs(file):
			return nil, fmt.Errorf("%s is missing on this machine: install the package that has it", name)
		case libraries[name] != "" && libraries[name] != file:
			return nil, fmt.Errorf("%s is both %s and %s: the tools image can only have one of them", name, libraries[name], file)
		}
		libraries[name] = file
	}
	return libraries, nil
}

// directory is where the image has the libraries: beside libc, wherever this machine has them. That is where the interpreter
// looks without a configuration and a cache, which the image does not have.
func (c closure) directory() string { return path.Dir(c.libraries["libc.so.6"]) }
