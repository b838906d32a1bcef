package main

import (
	_ "embed"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// single is an image with a single program.
type single struct {
	name  string // name of the program, and the title of the image
	limit int64  // maximum size of the program in bytes
}

// singles are the images with a single program, by their name on the command line.
//
// The limits detect an image that grows by mistake, because of symbols or of a large dependency.
// Without and with symbols, the operator has 52 and 74 MiB, the simulator has 7 and 10 MiB, and
// pause, process 1 of the pods of the local cluster, has 1.4 and 2.1 MiB.
var singles = map[string]single{
	"operator":  {name: "pipes-operator", limit: 64 << 20},
	"simulator": {name: "workos-simulator", limit: 9 << 20},
	"pause":     {name: "pause", limit: 2 << 20},
}

const (
	// nonroot is a number, so that the kubelet can verify that it is not root.
	nonroot = "65532:65532"

	bundlePath = "/etc/ssl/certs/ca-certificates.crt"
)

// passwd defines root and nonroot. The Dockerfile copies the same file.
//
//go:embed passwd
var passwd []byte

// programImage describes an image of singles.
func programImage(o options, m machine) (design, error) {
	s := singles[o.image]
	p, err := readProgram(o.binary, s.limit)
	if err != nil {
		return design{}, err
	}
	bundle, err := readBundle(o.caBundle, m.bundles)
	if err != nil {
		return design{}, err
	}
	return s.design(p, bundle, o.version), nil
}

func (s single) design(p program, bundle []byte, version string) design {
	files := tree{}
	files.file("/"+s.name, 0o555, p.content)
	files.file(bundlePath, 0o444, bundle)
	files.file("/etc/passwd", 0o444, passwd)
	return design{files: files, arch: p.arch, config: v1.Config{
		User:       nonroot,
		Entrypoint: []string{"/" + s.name},
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title":    s.name,
			"org.opencontainers.image.version":  version,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}}
}
