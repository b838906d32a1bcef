package main

import (
	"debug/elf"
	"fmt"
	"io"
	"strings"
)

// linkage describes how a program is linked.
type linkage struct {
	machine     elf.Machine
	interpreter string   // path of the dynamic loader; empty for a static program
	libraries   []string // names
}

func (l linkage) static() bool { return l.interpreter == "" && len(l.libraries) == 0 }

// readLinkage reads how a program is linked. Its errors describe the content and do not name the
// file.
func readLinkage(program io.ReaderAt) (linkage, error) {
	file, err := elf.NewFile(program)
	if err != nil {
		return linkage{}, fmt.Errorf("no program for Linux: %w", err)
	}
	if file.Type != elf.ET_EXEC && file.Type != elf.ET_DYN {
		return linkage{}, fmt.Errorf("no program: its ELF type is %s", file.Type)
	}
	l := linkage{machine: file.Machine}
	for _, segment := range file.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		interpreter, err := io.ReadAll(segment.Open())
		if err != nil {
			return linkage{}, fmt.Errorf("a damaged program: %w", err)
		}
		l.interpreter = strings.TrimRight(string(interpreter), "\x00")
	}
	if l.libraries, err = file.ImportedLibraries(); err != nil {
		return linkage{}, fmt.Errorf("a damaged program: %w", err)
	}
	return l, nil
}
