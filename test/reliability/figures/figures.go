// Package figures records the measurements of the reliability suites for
// docs/explanation/reliability.md.
package figures

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Environment is the variable with the directory that Record writes to. If it is not set, Record
// only logs.
const Environment = "RELIABILITY_FIGURES"

// FullEnvironment is the variable that selects the long run for the record if it is 1. Otherwise
// the suites run the short selection for CI.
const FullEnvironment = "RELIABILITY_FULL"

// Figure is one row of a suite's table.
type Figure struct {
	// Name says what was measured or counted, and its unit.
	Name string `json:"name"`
	// Value is the measured value.
	Value string `json:"value"`
	// Promise is the promised value; empty if nothing is promised.
	Promise string `json:"promise,omitempty"`
}

// Suite is the measurements of one suite.
type Suite struct {
	// Name is the title of the table.
	Name    string   `json:"name"`
	Figures []Figure `json:"figures"`
}

// Full reports whether the long run is selected.
func Full() bool { return os.Getenv(FullEnvironment) == "1" }

// Record logs the figures of one suite. If Environment is set, it also writes them to the file
// with this name and the extension .json. file begins with a number, which orders the files, such
// as "10-model".
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
