package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// readBack opens an archive by a tag, as a container engine does.
func readBack(t *testing.T, archive, tag string) v1.Image {
	t.Helper()
	parsed, err := name.NewTag(tag)
	if err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(archive, &parsed)
	if err != nil {
		t.Fatalf("%s: %v", tag, err)
	}
	return image
}

// ok runs the program, which must succeed, and returns its stdout.
func ok(t *testing.T, m machine, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(args, m, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Fatalf("got code %d, %s", code, &stderr)
	}
	return stdout.String()
}

func TestAnArchiveIsReadBackByEachOfItsTags(t *testing.T) {
	m, root := fakeMachine(t)
	archive := filepath.Join(root, "dist/images/tools.tar")
	ok(t, m, "tools", "--tag", "busybox:1.37", "--tag", "registry.example.com:5000/tools:v1", "--tag", "untagged",
		"--output", archive)
	for _, tag := range []string{
		"busybox:1.37", "docker.io/library/busybox:1.37", "registry.example.com:5000/tools:v1", "untagged:latest",
	} {
		if err := validate.Image(readBack(t, archive, tag)); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
}

func TestTheSameInputMakesTheSameArchive(t *testing.T) {
	m, root := fakeMachine(t)
	var archives [][]byte
	var lines []string
	for _, tags := range [][]string{{"a:1", "b:1", "c:1"}, {"c:1", "b:1", "a:1"}, {"b:1", "b:1", "c:1", "a:1"}} {
		archive := filepath.Join(root, "tools.tar")
		args := []string{"tools", "--output", archive}
		for _, tag := range tags {
			args = append(args, "--tag", tag)
		}
		_, digest, _ := strings.Cut(ok(t, m, args...), ", ")
		content, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		archives, lines = append(archives, content), append(lines, digest)
	}
	if !bytes.Equal(archives[0], archives[1]) || !bytes.Equal(archives[0], archives[2]) {
		t.Error("the archives differ")
	}
	if lines[0] != lines[1] || lines[0] != lines[2] {
		t.Errorf("got %q", lines)
	}
}

func TestAnArchiveThatCannotBeWrittenLeavesNothing(t *testing.T) {
	image, err := design{files: tree{}}.build()
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	if err := os.Mkdir(filepath.Join(directory, "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("a:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := save(filepath.Join(directory, "taken"), []name.Tag{tag}, image); err == nil {
		t.Error("it has been written over a directory")
	}
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) != 1 {
		t.Errorf("got %v, %v", entries, err)
	}
}

func TestALayerHasAllDirectoriesAndNothingBelowALink(t *testing.T) {
	files := tree{}
	files.file("/a/b/c", 0o444, nil)
	files.directory("/a", 0o700)
	files.link("/bin", "usr/bin")
	complete, err := files.complete()
	if err != nil {
		t.Fatal(err)
	}
	if complete["/a"].mode != 0o700 || complete["/a/b"].mode != 0o755 || len(complete) != 4 || len(files) != 3 {
		t.Errorf("got %v from %v", complete, files)
	}
	for below, want := range map[string]string{
		"/bin/sh":  "/bin/sh is below /bin, which is a link in the image: write /usr/bin/sh",
		"/a/b/c/d": "/a/b/c/d is below /a/b/c, which is a file in the image: choose another path",
	} {
		with := maps.Clone(files)
		with.file(below, 0o444, nil)
		if _, err := with.layer(); err == nil || err.Error() != want {
			t.Errorf("%s: got %v", below, err)
		}
	}
}
