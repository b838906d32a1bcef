package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

func TestAProgramThatCouldNotRunInTheImageIsRefused(t *testing.T) {
	static, object := builtProgram(t), elfProgram(t, elf.EM_X86_64, "", "")
	object[16] = byte(elf.ET_REL) // the ELF type
	for name, test := range map[string]struct {
		content []byte
		want    string
	}{
		"linked dynamically": {elfProgram(t, elf.EM_X86_64, "/lib64/ld-linux-x86-64.so.2", ""),
			" is linked dynamically, and nothing in the image could load it: build it with CGO_ENABLED=0 GOOS=linux"},
		"a script": {[]byte("#!/bin/sh\necho a program that is not\n"),
			" is no program for Linux: bad magic number"},
		"cut short":         {static[:100], " is no program for Linux: "},
		"an object file":    {object, " is no program: its ELF type is ET_REL: build it with"},
		"not written in Go": {elfProgram(t, elf.EM_X86_64, "", ""), " is not a Go program: "},
		"for another system": {bytes.ReplaceAll(static, []byte("GOOS=linux"), []byte("GOOS=plan9")),
			" is a program for plan9: build it with CGO_ENABLED=0 GOOS=linux"},
		"larger than allowed": {append(bytes.Clone(static), make([]byte, 10<<20)...), " has 11."},
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, filepath.Join(t.TempDir(), "program"), test.content)
			if _, err := readProgram(file, 10<<20); err == nil || !strings.HasPrefix(err.Error(), file+test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	_, err := readProgram(filepath.Join(t.TempDir(), "program"), 10<<20)
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(err.Error(), howToBuild) {
		t.Errorf("got %v", err)
	}
}

func TestALargeProgramIsSaidWithItsLimit(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "program"), builtProgram(t))
	_, err := readProgram(file, 1<<20)
	if err == nil || !strings.Contains(err.Error(), " MiB and may have 1: build it with -ldflags '-s -w'") {
		t.Errorf("got %v", err)
	}
}
