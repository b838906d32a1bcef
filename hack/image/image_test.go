package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const platform = "linux/" + runtime.GOARCH

// program builds a static Go program with the name pipes-operator.
func program(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pipes-operator")
	source := file + ".go"
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", file, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// archive builds an image with the names, and returns the archive.
func archive(t *testing.T, o options, names ...string) string {
	t.Helper()
	o.output = filepath.Join(t.TempDir(), "images", "image.tar")
	for _, tag := range names {
		if err := o.tag(tag); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(o, nil); err != nil {
		t.Fatal(err)
	}
	return o.output
}

// load opens an archive by the name of an image, as a container engine does.
func load(t *testing.T, file, image string) (v1.Image, *v1.ConfigFile) {
	t.Helper()
	tag, err := name.NewTag(image)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(loaded); err != nil {
		t.Error(err)
	}
	config, err := loaded.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return loaded, config
}

// entries returns the entries of the only layer of an image, by name.
func entries(t *testing.T, image v1.Image) map[string]*tar.Header {
	t.Helper()
	headers := map[string]*tar.Header{}
	content := mutate.Extract(image)
	defer func() { _ = content.Close() }()
	for reader := tar.NewReader(content); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return headers
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || !header.ModTime.Equal(epoch) {
			t.Errorf("%s: got owner %d:%d, time %s", header.Name, header.Uid, header.Gid, header.ModTime)
		}
		headers[header.Name] = header
	}
}

func TestTheSameInputMakesTheSameArchive(t *testing.T) {
	o := options{binary: program(t), platform: platform, version: "v1.2.3"}
	first, err := os.ReadFile(archive(t, o, "a:1", "b:1", "untagged"))
	if err != nil {
		t.Fatal(err)
	}
	file := archive(t, o, "untagged", "b:1", "b:1", "a:1")
	if second, err := os.ReadFile(file); err != nil || !bytes.Equal(first, second) {
		t.Errorf("the archives differ, %v", err)
	}
	for _, tag := range []string{"a:1", "docker.io/library/b:1", "untagged:latest"} {
		load(t, file, tag)
	}
}

func TestAProgramThatCannotRunInTheImageIsRefused(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho too short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := map[string]string{"amd64": "linux/arm64"}[runtime.GOARCH]
	for _, test := range []struct{ binary, platform, says string }{
		{script + ".missing", platform, "no such file"},
		{script, platform, "bad magic number"},
		{program(t), cmp.Or(other, "linux/amd64"), "it is for linux/" + runtime.GOARCH},
	} {
		err := run(options{binary: test.binary, platform: test.platform, output: script, tags: make([]name.Tag, 1)}, nil)
		if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "build it with") {
			t.Errorf("%s: got %v", test.says, err)
		}
	}
}

// The test runs the programs of the image with the libraries of the image only.
func TestTheToolsRunWithTheFilesOfTheirImage(t *testing.T) {
	if err := (tree{}).addTools(); errors.Is(err, exec.ErrNotFound) {
		t.Skip(err)
	}
	add := map[string]string{"/usr/local/bin/server": program(t)}
	image, config := load(t, archive(t, options{tools: true, platform: platform, additions: add}, "tools"), "tools")
	if c := config.Config; c.User != "" || c.Cmd[0] != "sh" || c.Env[0] != "PATH=/usr/local/bin:/usr/bin" {
		t.Errorf("got %+v", c)
	}
	root, headers := t.TempDir(), entries(t, image)
	unpack := exec.Command("tar", "-x", "-C", root)
	unpack.Stdin = mutate.Extract(image)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var loader, libraries string
	for at := range headers {
		if path.Base(at) == "libc.so.6" {
			libraries = filepath.Join(root, path.Dir(at))
		} else if strings.HasPrefix(path.Base(at), "ld-linux") {
			loader = filepath.Join(root, at)
		}
	}
	for _, line := range []string{"sh -c pwd", "git --version", "curl --version", "seq 3"} {
		words := strings.Fields(line)
		args := append([]string{"--library-path", libraries, filepath.Join(root, "usr/bin", words[0])}, words[1:]...)
		if out, err := exec.Command(loader, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", line, err, out)
		}
	}
	if headers["tmp"].Mode != 0o1777 || headers["usr/local/bin/server"] == nil {
		t.Errorf("got %+v", headers)
	}
}

func TestMissingLibrariesAreReported(t *testing.T) {
	for _, ldd := range []string{
		"\tlibc.so.6 => /lib/libc.so.6 (0x1)\n\tlibz.so.1 => not found\n",
		"\tlibc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x1)\n",
	} {
		if err := (tree{}).addLibraries(ldd); err == nil || !strings.Contains(err.Error(), "a library is missing") {
			t.Errorf("%s: got %v", ldd, err)
		}
	}
}
