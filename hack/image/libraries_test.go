package main

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// dynamic is the linkage of a program that needs libraries.
var dynamic = map[string]linkage{
	"/usr/bin/sh": {interpreter: "/lib64/ld-linux-x86-64.so.2", libraries: []string{"libc.so.6"}},
}

// says returns an ldd with a fixed output.
func says(out string) func([]string) (string, error) {
	return func([]string) (string, error) { return out, nil }
}

func TestLibrariesAreThoseThatLddFinds(t *testing.T) {
	c, err := readClosure(dynamic, says(`/usr/bin/sh:
	linux-vdso.so.1 (0x00007ffd5d9f6000)
	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1d2e000000)
	/lib64/ld-linux-x86-64.so.2 (0x00007f1d2e2a4000)
/usr/bin/curl:
	libz.so.1 => /opt/my libraries/libz.so.1 (0x00007f1d2e1f0000)
	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1d2d000000)
/usr/bin/static:
	statically linked`))
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(c.libraries, map[string]string{
		"libc.so.6": "/lib/x86_64-linux-gnu/libc.so.6",
		"libz.so.1": "/opt/my libraries/libz.so.1",
	}) || len(c.interpreters) != 1 || c.directory() != "/lib/x86_64-linux-gnu" {
		t.Errorf("got %+v", c)
	}
}

func TestAClosureThatIsNotCompleteIsRefused(t *testing.T) {
	for out, want := range map[string]string{
		"libz.so.1 => not found": "looking for libraries: " +
			"libz.so.1 is missing on this machine: install the package that has it",
		"libz.so.1 => /a/libz.so.1 (0x1)\nlibz.so.1 => /b/libz.so.1 (0x1)": "looking for libraries: " +
			"libz.so.1 is both /a/libz.so.1 and /b/libz.so.1",
		"libc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x7f6f0d2f9000)": "the programs of this machine " +
			"do not use glibc: ",
	} {
		if _, err := readClosure(dynamic, says(out)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v", out, err)
		}
	}
	failing := errors.New("running ldd: exit status 1")
	if _, err := readClosure(dynamic, func([]string) (string, error) { return "", failing }); !errors.Is(err, failing) {
		t.Errorf("got %v", err)
	}
}

func TestStaticProgramsNeedNothing(t *testing.T) {
	c, err := readClosure(map[string]linkage{"/bin/busybox": {}}, nil)
	if err != nil || len(c.libraries)+len(c.interpreters) > 0 {
		t.Errorf("got %+v, %v", c, err)
	}
}

// This test runs the shell of this machine with only the files of its closure.
func TestTheClosureOfThisMachinesShellIsComplete(t *testing.T) {
	file, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	program, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Close() }()
	linked, err := readLinkage(program)
	if err != nil || linked.static() {
		t.Skipf("the shell is no dynamically linked program: %v", err)
	}
	c, err := readClosure(map[string]linkage{file: linked}, thisMachine().ldd)
	if err != nil {
		t.Skip(err) // without ldd or glibc
	}
	directory := t.TempDir()
	for name, library := range c.libraries {
		write(t, filepath.Join(directory, name), []byte(read(t, library)))
	}
	cmd := exec.Command(c.interpreters[0], "--inhibit-cache", "--library-path", directory, file, "-c", "echo it runs")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "it runs\n" {
		t.Errorf("got %s, %v", out, err)
	}
	for _, name := range linked.libraries {
		if !path.IsAbs(c.libraries[name]) {
			t.Errorf("%s is missing", name)
		}
	}
}
