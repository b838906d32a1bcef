package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// run starts a shell script as the demo starts its programs.
func script(t *testing.T, text string) *process {
	t.Helper()
	p, err := start("script", filepath.Join(t.TempDir(), "log"), exec.CommandContext(t.Context(), "sh", "-c", text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

func TestAProgramIsStoppedKindlyAndElseByForce(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		well   bool
	}{
		"one that listens":  {"trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done", true},
		"one that does not": {"trap '' TERM; echo up; while :; do sleep 0.01; done", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := script(t, test.script)
			if err := p.waitUntil(t.Context(), time.Minute, func(context.Context) error { return contains(p.log, "up") }); err != nil {
				t.Fatal(err)
			}
			if err := p.dead(); err != nil {
				t.Error(err)
			}
			if err := p.stop(300 * time.Millisecond); (err == nil) != test.well {
				t.Errorf("got %v", err)
			}
			if p.dead() == nil {
				t.Error("it is still running")
			}
		})
	}
}

func contains(file, text string) error {
	if !strings.Contains(tail(file, 10), text) {
		return os.ErrNotExist
	}
	return nil
}

func TestAProgramThatEndsTellsWhy(t *testing.T) {
	p := script(t, "echo first; echo bind: address already in use; exit 3")
	err := p.waitUntil(t.Context(), time.Minute, func(context.Context) error { return os.ErrNotExist })
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "first\nbind") {
		t.Errorf("got %v", err)
	}
	if !p.portTaken() {
		t.Error("not seen that a port was taken")
	}
}

func TestAProgramThatIsNotReadyInTimeTellsWhatItLacks(t *testing.T) {
	p := script(t, "sleep 60")
	err := p.waitUntil(t.Context(), 100*time.Millisecond, func(context.Context) error { return os.ErrNotExist })
	if err == nil || !strings.Contains(err.Error(), "script was not ready within 100ms: file does not exist") {
		t.Errorf("got %v", err)
	}
}

func TestTheGuardEndsWhatIsLeftAndNothingElse(t *testing.T) {
	left, ended := script(t, "sleep 60"), script(t, "sleep 60")
	directory := filepath.Join(t.TempDir(), "workspace")
	if err := os.MkdirAll(filepath.Join(directory, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	keepGuard(strings.NewReader(strings.Join([]string{
		"directory " + directory,
		"started " + strconv.Itoa(left.pid()), "started " + strconv.Itoa(ended.pid()), "ended " + strconv.Itoa(ended.pid()),
	}, "\n") + "\n"))
	<-left.ended
	if err := ended.dead(); err != nil {
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
