package main

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"debug/elf"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// write writes an executable file and creates its parent directories.
func write(t *testing.T, file string, content []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// goProgram is a static program for Linux, built once for all tests.
var goProgram = sync.OnceValues(func() ([]byte, error) {
	directory, err := os.MkdirTemp("", "image-test-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(directory) }()
	source, file := filepath.Join(directory, "main.go"), filepath.Join(directory, "program")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", file, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(file)
})

func builtProgram(t *testing.T) []byte {
	t.Helper()
	content, err := goProgram()
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// elfProgram returns an ELF header that says how a program is linked. Different names make
// different files.
func elfProgram(t *testing.T, machine elf.Machine, interpreter, name string) []byte {
	t.Helper()
	const headers = 64 + 56
	header := elf.Header64{
		Ident:   [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:    uint16(elf.ET_DYN),
		Machine: uint16(machine),
		Version: uint32(elf.EV_CURRENT),
		Phoff:   64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64,
	}
	segment := elf.Prog64{
		Type:   uint32(elf.PT_INTERP),
		Off:    headers,
		Filesz: uint64(len(interpreter)) + 1,
		Memsz:  uint64(len(interpreter)) + 1,
	}
	if interpreter == "" {
		segment = elf.Prog64{Type: uint32(elf.PT_NULL)}
	}
	var file bytes.Buffer
	for _, part := range []any{header, segment, append([]byte(interpreter), 0), []byte(name)} {
		if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return file.Bytes()
}

// certificate returns a bundle with a CA certificate.
func certificate(t *testing.T) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// fakeMachine returns a machine that has every program of the tools image below a directory. git
// and its helper programs have the same paths as on Debian.
func fakeMachine(t *testing.T) (machine, string) {
	t.Helper()
	root := t.TempDir()
	interpreter := write(t, filepath.Join(root, "ld.so"), []byte("ld.so"))
	for _, pkg := range packages {
		for _, name := range pkg.programs {
			// All commands of git are the same program.
			command, _, _ := strings.Cut(name, "-")
			write(t, filepath.Join(root, "usr/bin", name), elfProgram(t, elf.EM_X86_64, interpreter, command))
		}
	}
	for _, name := range gitPrograms {
		write(t, filepath.Join(root, "usr/lib/git-core", name),
			elfProgram(t, elf.EM_X86_64, interpreter, strings.TrimSuffix(name, "s")))
	}
	libc := write(t, filepath.Join(root, "lib/libc.so.6"), []byte("libc"))
	libz := write(t, filepath.Join(root, "opt/libz.so.1.2.13"), []byte("libz"))
	return machine{
		goos:    "linux",
		bundles: []string{write(t, filepath.Join(root, "ca.pem"), certificate(t))},
		lookPath: func(name string) (string, error) {
			if !filepath.IsAbs(name) {
				name = filepath.Join("/usr/bin", name)
			}
			return exec.LookPath(filepath.Join(root, name))
		},
		gitPrograms: func() (string, error) { return "/usr/lib/git-core", nil },
		ldd: func(programs []string) (string, error) {
			var out strings.Builder
			for _, program := range programs {
				fmt.Fprintf(&out, "%s:\n"+
					"\tlinux-vdso.so.1 (0x1)\n"+
					"\tlibz.so.1 => %s (0x2)\n"+
					"\tlibc.so.6 => %s (0x3)\n"+
					"\t%s (0x4)\n",
					program, libz, libc, interpreter)
			}
			return out.String(), nil
		},
	}, root
}

// member is an unpacked entry of a layer.
type member struct {
	mode    int64
	content string // of a file
	link    string // target of a link
}

// unpack reads the only layer of an image. It fails the test if an entry is not owned by root,
// has another time than epoch, or comes before its directory.
func unpack(t *testing.T, image v1.Image) map[string]member {
	t.Helper()
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("got %d layers, %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = content.Close() }()
	members := map[string]member{"/": {}}
	for reader := tar.NewReader(content); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			delete(members, "/")
			return members
		}
		if err != nil {
			t.Fatal(err)
		}
		at := path.Clean("/" + header.Name)
		if header.Uid != 0 || header.Gid != 0 || header.Uname != "" || header.Gname != "" || !header.ModTime.Equal(epoch) {
			t.Errorf("%s is not root's, or not of the epoch: %+v", at, header)
		}
		if _, known := members[path.Dir(at)]; !known {
			t.Errorf("%s comes before its directory", at)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		members[at] = member{mode: header.Mode, content: string(data), link: header.Linkname}
	}
}
