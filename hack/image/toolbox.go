package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path"
	"strings"
)

// packages are the programs of the tools image, and the Debian packages that contain them.
var packages = []struct {
	name     string
	programs []string
}{
	{"dash", []string{"sh"}},
	{"coreutils", []string{
		"[", "base64", "basename", "cat", "chmod", "cp", "cut", "date", "dirname", "echo", "env", "false", "head",
		"id", "ln", "ls", "mkdir", "mktemp", "mv", "od", "printf", "pwd", "readlink", "rm", "rmdir", "seq",
		"sha256sum", "sleep", "sort", "stat", "tail", "tee", "test", "timeout", "touch", "tr", "true", "uname",
		"uniq", "wc", "whoami",
	}},
	{"findutils", []string{"find", "xargs"}},
	{"grep", []string{"grep"}},
	{"sed", []string{"sed"}},
	{"curl", []string{"curl"}},
	{"git", []string{"git", "git-receive-pack", "git-upload-pack"}},
}

// gitPrograms are the programs that git runs for https URLs, and the program that a web server
// runs to serve git. They are not in PATH: git has a directory for them, and its path is
// compiled into git.
var gitPrograms = []string{"git-http-backend", "git-remote-http", "git-remote-https"}

// tool is a program of this machine.
type tool struct {
	file string // path on this machine
	path string // path in the image
}

// findTools finds all programs, sh first. If programs are missing, its error names all of them.
func findTools(m machine) ([]tool, error) {
	var found []tool
	var missing, install []string
	find := func(pkg, name, at string) {
		file, err := m.lookPath(name)
		if err == nil {
			found = append(found, tool{file: file, path: at})
			return
		}
		missing = append(missing, path.Base(name))
		if len(install) == 0 || install[len(install)-1] != pkg {
			install = append(install, pkg)
		}
	}
	for _, pkg := range packages {
		for _, name := range pkg.programs {
			find(pkg.name, name, path.Join("/usr/bin", name))
		}
	}
	// This fails without git. The loop below then reports these programs as missing too.
	directory, _ := m.gitPrograms()
	for _, name := range gitPrograms {
		file := path.Join(directory, name)
		find("git", file, file)
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("this machine lacks %s: apt-get install %s",
			strings.Join(missing, ", "), strings.Join(install, " "))
	}
	return found, nil
}

// tools adds the programs and returns how each file is linked. Several names of the same
// program, by links or copies, become a file and symbolic links to it.
func (t tree) tools(found []tool) (map[string]linkage, error) {
	linked, paths := map[string]linkage{}, map[[sha256.Size]byte]string{}
	for _, f := range found {
		content, err := os.ReadFile(f.file)
		if err != nil {
			return nil, fmt.Errorf("reading a program: %w", err)
		}
		sum := sha256.Sum256(content)
		if same, known := paths[sum]; known {
			t.link(f.path, same)
			continue
		}
		if linked[f.file], err = readLinkage(bytes.NewReader(content)); err != nil {
			return nil, fmt.Errorf("%s is %w: the tools image cannot use it", f.file, err)
		}
		t.file(f.path, 0o755, content)
		paths[sum] = f.path
	}
	return linked, nil
}
