package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// epoch is the time of all files in an image, so that the image does not depend on the time of
// the build.
var epoch = time.Unix(0, 0).UTC()

// entry is a file, a directory or a symbolic link.
type entry struct {
	kind   byte // tar.TypeReg, tar.TypeDir or tar.TypeSymlink
	mode   int64
	data   []byte
	target string
}

// tree is the content of an image, by absolute path. Root owns all files. Only directories with
// a mode other than 0755 need an entry.
type tree map[string]entry

func (t tree) file(at string, mode int64, data []byte) {
	t[at] = entry{kind: tar.TypeReg, mode: mode, data: data}
}

func (t tree) directory(at string, mode int64) {
	t[at] = entry{kind: tar.TypeDir, mode: mode}
}

func (t tree) link(at, target string) {
	t[at] = entry{kind: tar.TypeSymlink, mode: 0o777, target: target}
}

// size returns the size of all files in bytes.
func (t tree) size() int64 {
	var sum int64
	for _, e := range t {
		sum += int64(len(e.data))
	}
	return sum
}

// complete returns the tree with all parent directories.
func (t tree) complete() (tree, error) {
	all := maps.Clone(t)
	for at := range t {
		for above := path.Dir(at); above != "/"; above = path.Dir(above) {
			switch e, there := t[above]; {
			case !there:
				all.directory(above, 0o755)
			case e.kind == tar.TypeSymlink:
				behind := path.Join(path.Dir(above), e.target, strings.TrimPrefix(at, above))
				return nil, fmt.Errorf("%s is below %s, which is a link in the image: write %s", at, above, behind)
			case e.kind != tar.TypeDir:
				return nil, fmt.Errorf("%s is below %s, which is a file in the image: choose another path", at, above)
			}
		}
	}
	return all, nil
}

// layer returns the tree as a tar file. The entries are sorted, so a directory comes before its
// content.
func (t tree) layer() ([]byte, error) {
	all, err := t.complete()
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, at := range slices.Sorted(maps.Keys(all)) {
		e := all[at]
		header := &tar.Header{
			Typeflag: e.kind, Name: strings.TrimPrefix(at, "/"), Linkname: e.target,
			Mode: e.mode, Size: int64(len(e.data)), ModTime: epoch,
		}
		if e.kind == tar.TypeDir {
			header.Name += "/"
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("writing %s into the image: %w", at, err)
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, fmt.Errorf("writing %s into the image: %w", at, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("writing the image: %w", err)
	}
	return layer.Bytes(), nil
}
