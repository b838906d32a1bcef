package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// epoch is the time of all files in an image, so that the image does not depend on the time of the
// build.
var epoch = time.Unix(0, 0).UTC()

// tree is the content of an image, by path without a leading slash. Root owns all files.
type tree map[string]*fstest.MapFile

// add adds a file, a directory or a symbolic link, and its missing parent directories. The data of
// a symbolic link is its target.
func (t tree) add(at string, mode fs.FileMode, data []byte) {
	at = strings.TrimPrefix(at, "/")
	t[at] = &fstest.MapFile{Data: data, Mode: mode, ModTime: epoch}
	if parent := path.Dir(at); parent != "." && t[parent] == nil {
		t.add(parent, fs.ModeDir|0o755, nil)
	}
}

// build makes an image with a single layer, in which the files are in the order of their paths.
func build(files tree, config v1.Config, platform v1.Platform) (v1.Image, error) {
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	if err := errors.Join(w.AddFS(fstest.MapFS(files)), w.Close()); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant,
		Created: v1.Time{Time: epoch}, Config: config, RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Append(image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "hack/image"},
	})
}

// save writes the image to an archive.
func save(image v1.Image, tags []name.Tag, file string) error {
	named := map[name.Tag]v1.Image{}
	for _, tag := range tags {
		// tarball lists the tags of one image in random order, but it sorts images by their tags.
		named[tag] = &struct{ v1.Image }{image}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return tarball.MultiWriteToFile(file, named)
}
