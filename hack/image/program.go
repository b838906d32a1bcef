package main

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"debug/buildinfo"
	"debug/elf"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	// nonroot is a number, so that the kubelet can verify that it is not root.
	nonroot = "65532:65532"
	// certificates is the file of the CA certificates, in an image and on most machines.
	certificates = "/etc/ssl/certs/ca-certificates.crt"
)

// passwd defines root and nonroot. The Dockerfile copies the same file.
//
//go:embed passwd
var passwd []byte

// programImage describes an image of one static program.
func programImage(o options, platform v1.Platform) (tree, v1.Config, error) {
	program, err := readProgram(o.binary, platform)
	if err != nil {
		return nil, v1.Config{}, err
	}
	title := filepath.Base(o.binary)
	files := tree{}
	files.add("/"+title, 0o555, program)
	return files, v1.Config{
		User:       nonroot,
		Entrypoint: []string{"/" + title},
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title":    title,
			"org.opencontainers.image.version":  o.version,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}, files.addIdentity()
}

// readProgram reads a Go program. It rejects a program that cannot run in an image that has no
// libraries.
func readProgram(file string, platform v1.Platform) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("%s: %w: build it with CGO_ENABLED=0 GOOS=%s GOARCH=%s go build",
			file, err, platform.OS, platform.Architecture)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return fail(err)
	}
	program, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return fail(err)
	}
	if slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return fail(errors.New("it is linked dynamically, and the image has no libraries"))
	}
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return fail(err)
	}
	built := map[string]string{}
	for _, setting := range info.Settings {
		built[setting.Key] = setting.Value
	}
	if built["GOOS"] != platform.OS || built["GOARCH"] != platform.Architecture {
		return fail(fmt.Errorf("it is for %s/%s", built["GOOS"], built["GOARCH"]))
	}
	return content, nil
}

// addIdentity adds the users and the CA certificates that every image has.
func (t tree) addIdentity() error {
	file := cmp.Or(os.Getenv("SSL_CERT_FILE"), certificates)
	content, err := os.ReadFile(file)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(content) {
		err = fmt.Errorf("%s has none in PEM", file)
	}
	t.add(certificates, 0o444, content)
	t.add("/etc/passwd", 0o444, passwd)
	if err != nil {
		return fmt.Errorf("reading CA certificates (SSL_CERT_FILE can name another file): %w", err)
	}
	return nil
}
