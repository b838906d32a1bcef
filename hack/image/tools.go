package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// tools are the programs of the tools image. They are in PATH.
const tools = `sh [ base64 basename cat chmod cp cut date dirname echo env false head id ln ls mkdir mktemp mv od printf
	pwd readlink rm rmdir seq sha256sum sleep sort stat tail tee test timeout touch tr true uname uniq wc whoami
	find xargs grep sed curl git git-receive-pack git-upload-pack`

// gitTools are the programs that git runs for https URLs, and the program that a web server runs to
// serve git. They are in a directory of git, whose path is compiled into git.
const gitTools = "git-http-backend git-remote-http git-remote-https"

// nsswitch makes the names in /etc/hosts, which Kubernetes writes for a pod, take precedence over
// DNS. Without this file, glibc asks DNS first. The modules files and dns are built into glibc
// since 2.34.
const nsswitch = "passwd: files\ngroup: files\nhosts: files dns\n"

// toolsImage describes an image of programs of this machine.
func toolsImage(o options, platform v1.Platform) (tree, v1.Config, error) {
	files := tree{}
	if err := files.addTools(); err != nil {
		return nil, v1.Config{}, fmt.Errorf("taking programs from this machine: %w", err)
	}
	files.add("/etc/nsswitch.conf", 0o444, []byte(nsswitch))
	files.add("/tmp", fs.ModeDir|fs.ModeSticky|0o777, nil)
	files.add("/bin", fs.ModeSymlink|0o777, []byte("usr/bin"))        // for /bin/sh
	files.add("/usr/share/git-core/templates", fs.ModeDir|0o755, nil) // git warns if it does not exist
	for at, file := range o.additions {
		program, err := readProgram(file, platform)
		if err != nil {
			return nil, v1.Config{}, err
		}
		files.add(at, 0o755, program)
	}
	return files, v1.Config{
		Env:        []string{"PATH=/usr/local/bin:/usr/bin"},
		Cmd:        []string{"sh"},
		WorkingDir: "/",
		Labels:     map[string]string{"org.opencontainers.image.title": "e2e-tools"},
	}, files.addIdentity()
}

// addTools adds the programs, and the libraries that they need.
func (t tree) addTools() error {
	git, err := output("git", "--exec-path")
	errs := []error{err}
	paths := map[string]string{} // paths in the image, by the real file on this machine
	take := func(program, at string) {
		file, err := exec.LookPath(program)
		if err == nil {
			file, err = filepath.EvalSymlinks(file)
		}
		switch same, exists := paths[file]; {
		case err != nil:
			errs = append(errs, err)
		case exists:
			t.add(at, fs.ModeSymlink|0o777, []byte(same))
		default:
			paths[file] = at
			errs = append(errs, t.copy(file, at))
		}
	}
	for _, name := range strings.Fields(tools) {
		take(name, "/usr/bin/"+name)
	}
	for _, name := range strings.Fields(gitTools) {
		take(path.Join(git, name), path.Join(git, name))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	libraries, err := output("ldd", slices.Sorted(maps.Keys(paths))...)
	if err == nil {
		err = t.addLibraries(libraries)
	}
	return err
}

// needed matches two kinds of lines of ldd: libraries, such as
// `libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x0000)`, and the dynamic loader, such as
// `/lib64/ld-linux-x86-64.so.2 (0x0000)`.
var needed = regexp.MustCompile(`(?m)^\s*(?:(\S+) => )?(/\S+) \(0x`)

// addLibraries adds the files that the output of ldd names. All libraries go into the directory of
// libc, which the loader searches without a configuration.
func (t tree) addLibraries(ldd string) error {
	files := needed.FindAllStringSubmatch(ldd, -1)
	libc := slices.IndexFunc(files, func(file []string) bool { return file[1] == "libc.so.6" })
	if libc < 0 || strings.Contains(ldd, " => not found") {
		return fmt.Errorf("a library is missing, or the programs do not use glibc:\n%s", ldd)
	}
	for _, file := range files {
		at := file[2]
		if file[1] != "" {
			at = path.Join(path.Dir(files[libc][2]), file[1])
		}
		if err := t.copy(file[2], at); err != nil {
			return err
		}
	}
	return nil
}

// copy adds a file of this machine.
func (t tree) copy(file, at string) error {
	content, err := os.ReadFile(file)
	t.add(at, 0o755, content)
	return err
}

func output(program string, args ...string) (string, error) {
	cmd := exec.CommandContext(context.Background(), program, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("running %s: %w", program, err)
	}
	return strings.TrimSpace(string(out)), err
}
