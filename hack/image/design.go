package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// design is the complete description of an image. The image is for Linux and has a single layer.
type design struct {
	files  tree
	config v1.Config
	arch   string // as in GOARCH
}

// user returns the user of the image, for messages.
func (d design) user() string {
	if d.config.User == "" {
		return "root"
	}
	return d.config.User
}

func (d design) build() (v1.Image, error) {
	files, err := d.files.layer()
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil },
		tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("packing the image: %w", err)
	}
	image, err := mutate.Append(empty.Image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "hack/image"},
	})
	if err != nil {
		return nil, fmt.Errorf("packing the image: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("describing the image: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created, config.Config = "linux", d.arch, v1.Time{Time: epoch}, d.config
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, fmt.Errorf("describing the image: %w", err)
	}
	return image, nil
}
