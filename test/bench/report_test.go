package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestATableShowsTheRatioToTheFloorAndNothingForWhatIsUnknown(t *testing.T) {
	r := result{Figures: []figure{
		against("wall, s", 3, 2, "≤ 1.10"), seen("p99, s", math.NaN(), ""), against("calls", 0, 0, "0"),
	}}
	const want = `| figure | seen | floor | ratio | target |
|---|---|---|---|---|
| wall, s | 3 | 2 | 1.50 | ≤ 1.10 |
| p99, s |  |  |  |  |
| calls | 0 | 0 |  | 0 |
`
	if got := r.figureTable(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestRequestsAreDividedAndComparedByKind(t *testing.T) {
	before := requestCounts{{"POST", "secrets"}: 5}
	after := requestCounts{{"POST", "secrets"}: 25, {"APPLY", "pipestokens/status"}: 10, {"PUT", "leases"}: 3}
	since := after.minus(before)
	if since.writes() != 30 {
		t.Errorf("got %g writes", since.writes())
	}
	rows := requestRows(since, 10, requestCounts{{"POST", "secrets"}: 4}, 4)
	if len(rows) != 3 || rows[2] != (requestRow{"POST", "secrets", 20, 2, 1}) || rows[1].Floor != 0 {
		t.Errorf("got %+v", rows)
	}
}

func TestJSONHasNullForWhatIsUnknown(t *testing.T) {
	text, err := json.Marshal(seen("p99", math.NaN(), ""))
	if err != nil || string(text) != `{"name":"p99","seen":null,"floor":null,"ratio":null}` {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestNumbersAreShort(t *testing.T) {
	for value, want := range map[number]string{1234: "1234", 1234.56: "1234.6", 1.234: "1.23", 0.00123: "0.0012", 0: "0"} {
		if got := value.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAPlotIsXMLAndNeitherEmptyNorHuge(t *testing.T) {
	long := line{name: "a < b & c"}
	for i := range 100_000 {
		long.points = append(long.points, point{float64(i), float64(i)})
	}
	for _, p := range []plot{{title: "nothing"}, {title: "long", lines: []line{long, {"flat", []point{{0, 0}, {1, 0}}}}}} {
		drawn := p.svg()
		decoder := xml.NewDecoder(strings.NewReader(drawn))
		for {
			_, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", p.title, err)
			}
		}
		if len(drawn) > 20_000 || strings.Contains(drawn, "NaN") || strings.Contains(drawn, "Inf") {
			t.Errorf("%s: %d bytes: %.300s", p.title, len(drawn), drawn)
		}
	}
}

func TestAnAxisGoesBeyondWhatIsThere(t *testing.T) {
	for most, want := range map[float64]axis{
		0: {1, 1}, 1: {0.2, 1}, 7: {2, 8}, 99: {20, 100}, 1200: {500, 1500}, 0.004: {0.001, 0.004},
	} {
		if got := axisTo(most); math.Abs(got.step-want.step) > 1e-9 || math.Abs(got.end-want.end) > 1e-9 {
			t.Errorf("%g: got %v, want %v", most, got, want)
		}
	}
}

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
