package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"os"
)

// howToBuild is the advice for a program that cannot be used.
const howToBuild = "build it with CGO_ENABLED=0 GOOS=linux go build"

// program is a static program for Linux.
type program struct {
	content []byte
	arch    string // as in GOARCH
}

// readProgram reads a Go program. It rejects a program that cannot run in an empty image or that
// exceeds the size limit.
func readProgram(file string, limit int64) (program, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return program{}, fmt.Errorf("reading the program: %w: %s", err, howToBuild)
	}
	if _, err := checkStatic(file, content); err != nil {
		return program{}, err
	}
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return program{}, fmt.Errorf("%s is not a Go program: %w: %s", file, err, howToBuild)
	}
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	if settings["GOOS"] != "linux" {
		return program{}, fmt.Errorf("%s is a program for %s: %s", file, settings["GOOS"], howToBuild)
	}
	if size := int64(len(content)); size > limit {
		return program{}, fmt.Errorf("%s has %.1f MiB and may have %.0f: "+
			"build it with -ldflags '-s -w'; if it has, look for what has been added to it",
			file, mebibytes(size), mebibytes(limit))
	}
	return program{content: content, arch: settings["GOARCH"]}, nil
}

// checkStatic rejects a program that needs a loader or libraries.
func checkStatic(file string, content []byte) (linkage, error) {
	linked, err := readLinkage(bytes.NewReader(content))
	if err != nil {
		return linkage{}, fmt.Errorf("%s is %w: %s", file, err, howToBuild)
	}
	if !linked.static() {
		return linkage{}, fmt.Errorf("%s is linked dynamically, and nothing in the image could load it: %s", file, howToBuild)
	}
	return linked, nil
}
