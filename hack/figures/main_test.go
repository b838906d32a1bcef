package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFiguresAreWrittenBetweenTheMarks(t *testing.T) {
	directory := t.TempDir()
	page := filepath.Join(directory, "page.md")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(page, "before\n"+begin+"old\n"+end+"after\n")
	write(filepath.Join(directory, "20-second.json"), `{"name": "Second", "figures": [{"name": "a|b", "value": "2"}]}`)
	write(filepath.Join(directory, "10-first.json"),
		`{"name": "First", "figures": [{"name": "wrong tokens", "value": "0", "promise": "0"}]}`)
	for range 2 { // the second write changes nothing
		if err := run(directory, page, "abc"); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := "### First\n\n| Figure | Seen | Promised |\n|---|---|---|\n| wrong tokens | 0 | 0 |\n\n" +
		"### Second\n\n| Figure | Seen | Promised |\n|---|---|---|\n| a\\|b | 2 |  |\n\n" + end + "after\n"
	if got := string(text); !strings.HasPrefix(got, "before\n"+begin+"\nSeen on ") ||
		!strings.HasSuffix(got, want) || strings.Contains(got, "old") {
		t.Errorf("got\n%s", got)
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	directory := t.TempDir()
	if err := run(directory, "", ""); err == nil || !strings.Contains(err.Error(), "make test-reliability") {
		t.Errorf("no figures: got %v", err)
	}
	if _, err := replace("a page", "tables"); err == nil || !strings.Contains(err.Error(), "marks are missing") {
		t.Errorf("no marks: got %v", err)
	}
}
