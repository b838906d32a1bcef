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
	for name, text := range map[string]string{
		"page.md":        "before\n" + begin + "old\n" + end + "after\n",
		"20-second.json": `{"name": "Second", "figures": [{"name": "a|b", "value": "2", "promise": "at most 3"}]}`,
		"10-first.json":  `{"name": "First", "figures": [{"name": "wrong", "value": "0", "promise": "0"}, {"name": "calls", "value": "9"}]}`,
	} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second write changes nothing
		if err := run(directory, page, "abc"); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := "### First\n\n| Figure | Seen | Promised |\n|---|---|---|\n| wrong | 0 | 0 |\n\n" +
		"### Second\n\n| Figure | Seen | Promised |\n|---|---|---|\n| a\\|b | 2 | at most 3 |\n\n" + end + "after\n"
	if got := string(text); !strings.HasPrefix(got, "before\n"+begin+"\nSeen on ") ||
		!strings.HasSuffix(got, want) || strings.Contains(got, "old") {
		t.Errorf("got\n%s", got)
	}
}
