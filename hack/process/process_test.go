package process

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func script(t *testing.T, text string) *Process {
	t.Helper()
	p, err := Start("script", filepath.Join(t.TempDir(), "log"), exec.CommandContext(t.Context(), "sh", "-c", text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
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
			if err := p.WaitUntil(t.Context(), time.Minute,
				func(context.Context) error { return contains(p.Log, "up") }); err != nil {
				t.Fatal(err)
			}
			if err := p.Dead(); err != nil {
				t.Error(err)
			}
			if err := p.Stop(300 * time.Millisecond); (err == nil) != test.well {
				t.Errorf("got %v", err)
			}
			if p.Dead() == nil {
				t.Error("it is still running")
			}
		})
	}
}

func contains(file, text string) error {
	if !strings.Contains(Tail(file, 10), text) {
		return os.ErrNotExist
	}
	return nil
}

func TestAProgramThatEndsTellsWhy(t *testing.T) {
	p := script(t, "echo first; echo second; exit 3")
	err := p.WaitUntil(t.Context(), time.Minute, func(context.Context) error { return os.ErrNotExist })
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "first\nsecond") {
		t.Errorf("got %v", err)
	}
}

func TestAProgramThatIsNotReadyInTimeTellsWhatItLacks(t *testing.T) {
	p := script(t, "sleep 60")
	err := p.WaitUntil(t.Context(), 100*time.Millisecond, func(context.Context) error { return os.ErrNotExist })
	if err == nil || !strings.Contains(err.Error(), "script was not ready within 100ms: file does not exist") {
		t.Errorf("got %v", err)
	}
}
