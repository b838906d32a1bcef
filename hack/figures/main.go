// Command figures prints the results of the reliability suites, and writes those with a promise
// into docs/explanation/reliability.md.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/pipes-operator/pipes-operator/test/reliability/figures"
)

func main() {
	from := flag.String("from", "", "The directory with the figures of the suites.")
	into := flag.String("into", "", "The page to write them into. Empty: they are only shown.")
	commit := flag.String("commit", "", "What was measured.")
	flag.Parse()
	if err := run(*from, *into, *commit); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func run(from, into, commit string) error {
	files, err := filepath.Glob(filepath.Join(from, "*.json")) // Glob returns sorted names
	if err != nil || len(files) == 0 {
		return errors.Join(err, fmt.Errorf("there are no figures in %q: run make test-reliability", from))
	}
	tables := ""
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var suite figures.Suite
		if err := json.Unmarshal(text, &suite); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		fmt.Print(table(suite, false))
		tables += table(suite, true)
	}
	if into == "" {
		return nil
	}
	page, err := os.ReadFile(into)
	if err != nil {
		return err
	}
	heading := fmt.Sprintf("Seen on %s, of commit `%s`, on %d CPUs (%s/%s, %s), by `make test-reliability FULL=1`.\n\n",
		time.Now().UTC().Format(time.DateOnly), commit, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	fresh, err := replace(string(page), heading+tables)
	if err != nil {
		return fmt.Errorf("%s: %w", into, err)
	}
	return os.WriteFile(into, []byte(fresh), 0o644)
}

// table returns the figures of a suite as a table: all, or those with a promise.
func table(suite figures.Suite, promised bool) string {
	text := fmt.Sprintf("### %s\n\n| Figure | Seen | Promised |\n|---|---|---|\n", suite.Name)
	cell := strings.NewReplacer("|", `\|`, "\n", " ").Replace
	for _, figure := range suite.Figures {
		if figure.Promise != "" || !promised {
			text += fmt.Sprintf("| %s | %s | %s |\n", cell(figure.Name), cell(figure.Value), cell(figure.Promise))
		}
	}
	return text + "\n"
}

// This program writes the text between these marks.
const (
	begin = "<!-- figures: written by make test-reliability FULL=1 -->\n"
	end   = "<!-- end of figures -->\n"
)

// replace replaces the text between the marks of a page.
func replace(page, tables string) (string, error) {
	before, rest, found := strings.Cut(page, begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return "", errors.New("the marks are missing between which the figures stand")
	}
	return before + begin + "\n" + tables + end + after, nil
}
