package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// save writes the archive and returns its size in bytes. The write is atomic: the file exists
// either completely or not at all.
func save(file string, tags []name.Tag, image v1.Image) (size int64, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", file, err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return 0, err
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), ".image-*")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // fails after the rename, which is fine
	err = writeArchive(temporary, tags, image)
	if err == nil {
		err = temporary.Chmod(0o644)
	}
	if err := errors.Join(err, temporary.Close()); err != nil {
		return 0, err
	}
	info, err := os.Stat(temporary.Name())
	if err != nil {
		return 0, err
	}
	return info.Size(), os.Rename(temporary.Name(), file)
}

// writeArchive does the same as tarball.Write, but sorts the tags. tarball.Write keeps the tags
// in a map, so it writes different archives of the same image.
func writeArchive(to io.Writer, tags []name.Tag, image v1.Image) error {
	named := map[name.Reference]v1.Image{}
	for _, tag := range tags {
		named[tag] = image
	}
	manifest, err := tarball.ComputeManifest(named)
	if err != nil {
		return err
	}
	slices.Sort(manifest[0].RepoTags) // the archive has a single image
	w := tar.NewWriter(to)
	config, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	if err := writeMember(w, manifest[0].Config, bytes.NewReader(config), int64(len(config))); err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for i, layer := range layers {
		if err := writeLayer(w, manifest[0].Layers[i], layer); err != nil {
			return err
		}
	}
	list, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	return errors.Join(writeMember(w, "manifest.json", bytes.NewReader(list), int64(len(list))), w.Close())
}

func writeLayer(w *tar.Writer, called string, layer v1.Layer) error {
	size, err := layer.Size()
	if err != nil {
		return err
	}
	content, err := layer.Compressed()
	if err != nil {
		return err
	}
	return errors.Join(writeMember(w, called, content, size), content.Close())
}

func writeMember(w *tar.Writer, called string, content io.Reader, size int64) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: called, Mode: 0o644, Size: size}); err != nil {
		return err
	}
	_, err := io.Copy(w, content)
	return err
}
