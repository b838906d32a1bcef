package main

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// closure is the set of files that dynamically linked programs need.
type closure struct {
	interpreters []string          // paths
	libraries    map[string]string // paths by the name that programs use
}

// readClosure finds all files that the programs need, including indirect dependencies, which ldd
// resolves.
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
		return closure{}, errors.New("the programs of this machine do not use glibc: " +
			"build the tools image where they do, such as on Debian")
	}
	return closure{interpreters: slices.Sorted(maps.Keys(interpreters)), libraries: libraries}, nil
}

// parseLdd parses lines such as `libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f…)`.
// Lines without an arrow name a program, the interpreter, or a library of the kernel.
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
			return nil, fmt.Errorf("%s is both %s and %s: the tools image can only have one of them",
				name, libraries[name], file)
		}
		libraries[name] = file
	}
	return libraries, nil
}

// directory returns the directory of all libraries in the image: the directory of libc on this
// machine. The interpreter searches it by default. The image has no configuration and no cache
// for the interpreter.
func (c closure) directory() string { return path.Dir(c.libraries["libc.so.6"]) }
