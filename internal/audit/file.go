package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// errNoFile: the target is a directory, a pipe or a device.
var errNoFile = errors.New("it is no regular file")

// File is a file to which lines are appended. If the file is renamed or deleted, the next write
// creates a new one, so that the file can be rotated without a signal.
type File struct {
	path   string
	opened *os.File // nil if it could not be opened again
}

// OpenFile opens the file at path, and creates it with mode 0600 if it does not exist.
func OpenFile(path string) (*File, error) {
	f := &File{path: path}
	return f, f.open()
}

// Write appends lines. It implements io.Writer.
func (f *File) Write(lines []byte) (int, error) {
	if err := f.follow(); err != nil {
		return 0, err
	}
	return f.opened.Write(lines)
}

// Close closes the file.
func (f *File) Close() error {
	if f.opened == nil {
		return nil
	}
	return f.opened.Close()
}

// follow opens the file again unless path is still the opened file.
func (f *File) follow() error {
	if f.opened != nil {
		now, err := os.Stat(f.path)
		opened, openedErr := f.opened.Stat()
		if err == nil && openedErr == nil && os.SameFile(now, opened) {
			return nil
		}
		_ = f.opened.Close() // the operating system has all that was written
		f.opened = nil
	}
	return f.open()
}

func (f *File) open() error {
	// To open a pipe would wait for its reader.
	if info, err := os.Stat(f.path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("opening %s: %w", f.path, errNoFile)
	}
	opened, err := os.OpenFile(f.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := endLine(opened); err != nil {
		_ = opened.Close()
		return err
	}
	f.opened = opened
	return nil
}

// endLine ends the last line of a file, which an earlier process may have left unfinished.
func endLine(file *os.File) error {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := file.ReadAt(last, info.Size()-1); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if last[0] == '\n' {
		return nil
	}
	_, err = file.Write([]byte{'\n'})
	return err
}
