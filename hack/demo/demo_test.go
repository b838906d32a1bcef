package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pipes-operator/pipes-operator/hack/process"
)

// script starts a shell script as the demo starts its programs.
func script(t *testing.T, text string) *process.Process {
	t.Helper()
	p, err := process.Start("script", filepath.Join(t.TempDir(), "log"),
		exec.CommandContext(t.Context(), "sh", "-c", text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func TestTheGuardEndsWhatIsLeftAndNothingElse(t *testing.T) {
	left, ended := script(t, "sleep 60"), script(t, "sleep 60")
	directory := filepath.Join(t.TempDir(), "workspace")
	if err := os.MkdirAll(filepath.Join(directory, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	keepGuard(strings.NewReader(strings.Join([]string{
		"directory " + directory,
		"started " + strconv.Itoa(left.PID()), "started " + strconv.Itoa(ended.PID()), "ended " + strconv.Itoa(ended.PID()),
	}, "\n") + "\n"))
	<-left.Ended
	if err := ended.Dead(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(directory); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestTheSamplesPointToTheSimulator(t *testing.T) {
	w := workspace(t.TempDir())
	if err := w.writeSample("environment.yaml", "127.0.0.1:4711"); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(w.path("environment.yaml"))
	if err != nil || !strings.Contains(string(content), "baseURL: http://127.0.0.1:4711\n") {
		t.Errorf("got %s, %v", content, err)
	}
}

func TestWhenTheFirstSecretIsCountedFrom(t *testing.T) {
	if got := startOfMake("1795435200", noon); got.what != "make demo" || got.at.Unix() != 1795435200 {
		t.Errorf("got %+v", got)
	}
	if got := startOfMake("", noon); got.what != "the start of the demo" || got.at != noon {
		t.Errorf("got %+v", got)
	}
}

func TestMissingProgramsAreSaidWithWhatToDo(t *testing.T) {
	for _, directory := range []string{"", t.TempDir()} {
		if _, err := findAssets(directory); err == nil || !strings.Contains(err.Error(), "run make demo") {
			t.Errorf("%q: got %v", directory, err)
		}
	}
}
