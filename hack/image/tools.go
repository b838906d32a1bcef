package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// nsswitch makes the names in /etc/hosts, which Kubernetes writes for a pod, take precedence
// over DNS. Without this file, glibc asks DNS first. The modules files and dns are built into
// glibc since 2.34.
const nsswitch = "passwd: files\ngroup: files\nhosts: files dns\n"

// toolsImage builds the image from programs of this machine, because it is for machines that
// reach no registry.
func toolsImage(o options, m machine) (design, error) {
	if m.goos != "linux" {
		return design{}, errors.New("the tools image is made of this machine's programs, and needs Linux: run this on Linux")
	}
	found, err := findTools(m)
	if err != nil {
		return design{}, err
	}
	files := tree{}
	linked, err := files.tools(found)
	if err != nil {
		return design{}, err
	}
	if err := files.closure(linked, m); err != nil {
		return design{}, err
	}
	bundle, err := readBundle(o.caBundle, m.bundles)
	if err != nil {
		return design{}, err
	}
	files.file(bundlePath, 0o444, bundle)
	files.file("/etc/passwd", 0o444, passwd)
	files.file("/etc/nsswitch.conf", 0o444, []byte(nsswitch))
	files.directory("/tmp", 0o1777)
	files.link("/bin", "usr/bin")                           // for /bin/sh
	files.directory("/usr/share/git-core/templates", 0o755) // git warns if it does not exist
	for _, a := range o.additions {
		if err := files.add(a, linked[found[0].file]); err != nil {
			return design{}, err
		}
	}
	return design{files: files, arch: runtime.GOARCH, config: v1.Config{
		Env:        []string{"PATH=/usr/local/bin:/usr/bin"},
		Cmd:        []string{"sh"},
		WorkingDir: "/",
		Labels:     map[string]string{"org.opencontainers.image.title": "e2e-tools"},
	}}, nil
}

// closure adds the loader and the libraries that the programs need.
func (t tree) closure(linked map[string]linkage, m machine) error {
	c, err := readClosure(linked, m.ldd)
	if err != nil {
		return err
	}
	read := func(file, at string, mode int64) error {
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading a library: %w", err)
		}
		t.file(at, mode, content)
		return nil
	}
	for _, interpreter := range c.interpreters {
		if err := read(interpreter, interpreter, 0o755); err != nil {
			return err
		}
	}
	for name, file := range c.libraries {
		if err := read(file, path.Join(c.directory(), name), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// add adds an external program. It must be for the same processor as the other programs.
func (t tree) add(a addition, own linkage) error {
	content, err := os.ReadFile(a.file)
	if err != nil {
		return fmt.Errorf("reading what to add: %w: %s", err, howToBuild)
	}
	linked, err := checkStatic(a.file, content)
	if err != nil {
		return err
	}
	if linked.machine != own.machine {
		return fmt.Errorf("%s is for %s and the other programs are for %s: build it with GOARCH=%s",
			a.file, linked.machine, own.machine, runtime.GOARCH)
	}
	if _, taken := t[a.path]; taken {
		return fmt.Errorf("%s is in the image already: add %s at another path", a.path, a.file)
	}
	t.file(a.path, 0o755, content)
	return nil
}
