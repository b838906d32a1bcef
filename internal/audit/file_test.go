package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pipes-operator/pipes-operator/internal/audit"
)

func openFile(t *testing.T, path string) *audit.File {
	t.Helper()
	file, err := audit.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func write(t *testing.T, file *audit.File, text string) {
	t.Helper()
	if _, err := file.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func expectText(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s has %q, %v; want %q", filepath.Base(path), got, err, want)
	}
}

func TestAFileIsCreatedForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	write(t, openFile(t, path), "a\n")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestAFileIsAppendedTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	write(t, openFile(t, path), "a\n")
	write(t, openFile(t, path), "b\n")
	expectText(t, path, "a\nb\n")
}

// A process that was killed, or a full disk, may leave a part of a line.
func TestALineThatAnEarlierProcessLeftUnfinishedIsEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte("a\n{\"time"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, openFile(t, path), "b\n")
	expectText(t, path, "a\n{\"time\nb\n")
}

// logrotate renames the file, or deletes it after it has made a copy.
func TestAFileThatIsRotatedIsOpenedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	file := openFile(t, path)
	write(t, file, "a\n")
	for n := range 3 {
		rotated := fmt.Sprintf("%s.%d", path, n)
		if err := os.Rename(path, rotated); err != nil {
			t.Fatal(err)
		}
		write(t, file, fmt.Sprintf("b%d\n", n))
		expectText(t, path, fmt.Sprintf("b%d\n", n))
	}
	expectText(t, path+".0", "a\n")
	expectText(t, path+".1", "b0\n")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, file, "c\n")
	expectText(t, path, "c\n")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write(t, file, "d\n")
	expectText(t, path, "d\n")
}

func TestAFileThatCannotBeOpenedAgainIsTriedAtEachWrite(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "audit.log")
	file := openFile(t, path)
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := file.Write([]byte("a\n")); err == nil || n != 0 {
			t.Errorf("wrote %d bytes", n)
		}
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, file, "b\n")
	expectText(t, path, "b\n")
}

// To open a pipe would wait for its reader.
func TestOnlyARegularFileIsOpened(t *testing.T) {
	folder := t.TempDir()
	pipe := filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{folder, pipe, filepath.Join(folder, "missing", "audit.log")} {
		if _, err := audit.OpenFile(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}
