package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// resultsOf writes the results.json of a run with a single scenario, which has the given value
// and floor.
func resultsOf(t *testing.T, value, floor float64, objects int) string {
	t.Helper()
	run := findings{
		Time: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC), Machine: machine{CPU: "any", Commit: "abc"},
		Parameters: parameters{
			Objects: objects, Lifetime: duration{time.Minute}, Lead: lead{always: true}, Scenarios: []string{"cold"},
		},
		Scenarios: []result{{
			Name: "cold", Title: "Cold creation", Per: "object", Notes: []string{"Of all."},
			Figures: []figure{
				against("wall, s", value, floor, "≤ 1.10"), seen("calls", 1, ""), seen("p99, s", math.NaN(), ""),
			},
			Requests: requestRows(requestCounts{{"POST", "secrets"}: value}, 1, nil, 1),
		}},
	}
	text, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "results.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestMediansAreOfEachFigureAndOfTheRatios(t *testing.T) {
	page := &strings.Builder{}
	// The ratio of the medians would be 3 ÷ 2. The ratios of the runs are 1, 3 and 1.25.
	err := runMedians([]string{resultsOf(t, 2, 2, 10), resultsOf(t, 3, 1, 10), resultsOf(t, 5, 4, 10)}, page)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"    make bench N=10 LIFETIME=1m0s LEAD=always LATENCY=0s WORKERS=0 LIFETIMES=0 BUDGET=0 SCENARIOS=cold\n",
		"\nMedians of 3 measurements; ",
		"| wall, s | 3 (2–5) | 2 | 1.25 | ≤ 1.10 |\n", "| calls | 1 |  |  |  |\n", "| p99, s |  |  |  |  |\n",
		"| POST | secrets | 3 | 3 |  |\n",
	} {
		if !strings.Contains(page.String(), line) {
			t.Errorf("no %q in\n%s", line, page)
		}
	}
	if strings.Count(page.String(), "Of all.") != 1 {
		t.Errorf("not one note in\n%s", page)
	}
}

func TestWhatIsMeasuredSeveralTimesInOneRunIsShownOnce(t *testing.T) {
	measured := func(name string, seconds float64) result {
		return result{Name: name, Title: "The " + name, Per: "object", Figures: []figure{seen("wall, s", seconds, "")}}
	}
	cold := measured("cold", 1)
	cold.plots = []plot{{file: "cold.svg"}}
	page := findings{Scenarios: eachOnce([]result{
		cold, measured("restart", 2), measured("restart", 9), measured("restart", 4),
	})}.markdown()
	for _, part := range []string{
		"## The cold\n\n| figure", "(cold.svg)",
		"## The restart\n\nMedians of 3 measurements; ", "| wall, s | 4 (2–9) |",
	} {
		if strings.Count(page, part) != 1 {
			t.Errorf("not one %q in\n%s", part, page)
		}
	}
}

func TestMediansAreOfTheSameCommandOnly(t *testing.T) {
	err := runMedians([]string{resultsOf(t, 2, 2, 10), resultsOf(t, 3, 1, 20)}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "N=20") {
		t.Errorf("got %v", err)
	}
	if err := runMedians(nil, io.Discard); err == nil {
		t.Error("no error without any results")
	}
	if err := runMedians([]string{"none"}, io.Discard); err == nil || !strings.Contains(fmt.Sprint(err), "none") {
		t.Errorf("got %v", err)
	}
}
