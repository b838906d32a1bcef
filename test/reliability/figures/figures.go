// Package figures keeps what the reliability suites have measured, so that docs/reliability.md can tell it.
package figures

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Environment is the variable that names the directory that Record writes to. Not set: figures are only logged.
const Environment = "RELIABILITY_FIGURES"

// FullEnvironment is the variable that, set to 1, asks the suites for the long run that is for the record, rather than the slice for CI.
const FullEnvironment = "RELIABILITY_FULL"

// Figure is one row of a suite's table.
type Figure struct {
	// Name says what was measured or counted, and its unit.
	Name string `json:"name"`
	// Value is what was seen.
	Value string `json:"value"`
	// Promise is what it has to be; empty where nothing is promised.
	Promise string `json:"promise,omitempty"`
}

// Suite is what one suite has seen.
type Suite struct {
	// Name is the title of the table. Files are in the order of their names' first word, which is a number.
	Name    string   `json:"name"`
	Figures []Figure `json:"figures"`
}

// Full says whether the long run is wanted.
func Full() bool { return os.Getenv(FullEnvironment) == "1" }

// Record logs the figures of one suite, and writes them to a file of its own where Environment says so. file is a name such as
// "10-model".
func Record(tb testing.TB, file string, suite Suite) {
	tb.Helper()
	for _, figure := range suite.Figures {
		tb.Logf("%s: %s (promised: %s)", figure.Name, figure.Value, figure.Promise)
	}
	directory := os.Getenv(Environment)
	if directory == "" {
		return
	}
	text, err := json.MarshalIndent(suite, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(directory, file+".json"), append(text, '\n'), 0o600)
	}
	if err != nil {
		tb.Errorf("cannot keep the figures: %v", err)
	}
}
