package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// findings are the content of results.json: all results of a run.
type findings struct {
	Time       time.Time  `json:"time"`
	Machine    machine    `json:"machine"`
	Settings   []string   `json:"settings"`
	Parameters parameters `json:"parameters"`
	Scenarios  []result   `json:"scenarios"`
}

// publish writes the results and prints the tables.
func (b *bench) publish(results []result) error {
	f := findings{
		Time:       b.began.UTC().Truncate(time.Second),
		Machine:    thisMachine(),
		Settings:   []string{planeSettings, operatorSettings},
		Parameters: b.parameters,
		Scenarios:  results,
	}
	encoded, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	f.Scenarios = eachOnce(results)
	tables := f.markdown()
	files := map[string]string{"results.json": string(encoded) + "\n", "results.md": tables}
	for _, r := range results {
		for _, p := range r.plots {
			files[p.file] = p.svg()
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(b.out, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("writing the results: %w", err)
		}
	}
	_, err = fmt.Fprintf(b.stdout, "\n%s\nAll of it is in %s\n", tables, b.out)
	return err
}

// markdown returns the results as a Markdown page.
func (f findings) markdown() string {
	text := &strings.Builder{}
	m := f.Machine
	_, _ = fmt.Fprintf(text, "# What pipes-operator costs\n\n"+
		"Seen on %s, of commit `%s`, on %d × %s with %s (%s, %s), by:\n\n    %s\n\n",
		f.Time.Format(time.DateOnly), m.Commit, m.Cores, m.CPU, m.Memory, m.Platform, m.Go, f.Parameters.command())
	_, _ = fmt.Fprintf(text, "The floor makes the same calls and writes with no controller, no cache and no watch. "+
		"Of the set-up: %s.\n", strings.Join(f.Settings, "; "))
	for _, r := range f.Scenarios {
		_, _ = fmt.Fprintf(text, "\n## %s\n\n", r.Title)
		if r.Times > 1 {
			_, _ = fmt.Fprintf(text, "Medians of %d measurements; in brackets, the least and the most.\n\n", r.Times)
		}
		_, _ = text.WriteString(r.figureTable())
		for _, p := range r.plots {
			_, _ = fmt.Fprintf(text, "\n![%s](%s)\n", p.title, p.file)
		}
		_, _ = fmt.Fprintf(text, "\nRequests to the API server:\n\n%s", r.requestTable())
		for _, note := range r.Notes {
			_, _ = fmt.Fprintf(text, "\n%s\n", note)
		}
	}
	return text.String()
}

func (r result) figureTable() string {
	rows := [][]string{{"figure", "seen", "floor", "ratio", "target"}}
	for _, f := range r.Figures {
		rows = append(rows, []string{
			f.Name, strings.TrimSpace(f.Seen.String() + " " + inBrackets(f.Span)), f.Floor.String(), f.Ratio.String(), f.Target,
		})
	}
	return table(rows)
}

func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

func (r result) requestTable() string {
	rows := [][]string{{"verb", "resource", "requests", "per " + r.Per, "floor"}}
	for _, q := range r.Requests {
		rows = append(rows, []string{q.Verb, q.Resource, q.Count.String(), q.Each.String(), q.Floor.String()})
	}
	return table(rows)
}

// table returns a Markdown table. The first row is its header.
func table(rows [][]string) string {
	text := &strings.Builder{}
	for i, row := range rows {
		_, _ = fmt.Fprintf(text, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			_, _ = fmt.Fprintf(text, "|%s\n", strings.Repeat("---|", len(row)))
		}
	}
	return text.String()
}

// String returns a short form of the number. It is empty for unknown.
func (n number) String() string {
	switch value := float64(n); {
	case math.IsNaN(value) || math.IsInf(value, 0):
		return ""
	case value == math.Trunc(value):
		return fmt.Sprintf("%.0f", value)
	case math.Abs(value) >= 100:
		return fmt.Sprintf("%.1f", value)
	case math.Abs(value) >= 0.01:
		return fmt.Sprintf("%.2f", value)
	default:
		return fmt.Sprintf("%.2g", value)
	}
}

// number is a float that may be unknown. Unknown is NaN in Go and null in JSON, because JSON has
// no NaN.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*n = number(unknown)
		return nil
	}
	return json.Unmarshal(text, (*float64)(n))
}

// unknown is the value of a missing figure.
var unknown = math.NaN()

// figure is a row of a table.
type figure struct {
	// Name describes the measured value and its unit.
	Name string `json:"name"`
	Seen number `json:"seen"`
	// Floor is the value of the floor. It is unknown if the floor does not have this figure.
	Floor number `json:"floor"`
	// Ratio is Seen divided by Floor. It is unknown without a floor.
	Ratio number `json:"ratio"`
	// Target is the goal. It is empty if no goal exists.
	Target string `json:"target,omitempty"`
	// Span is the range of the measured values if Seen is a median. It is empty if all values
	// are equal.
	Span string `json:"span,omitempty"`
}

// seen returns a figure without a floor.
func seen(name string, value float64, target string) figure {
	return figure{Name: name, Seen: number(value), Floor: number(unknown), Ratio: number(unknown), Target: target}
}

// against returns a figure with the value of the floor.
func against(name string, value, floor float64, target string) figure {
	f := seen(name, value, target)
	f.Floor = number(floor)
	if floor != 0 {
		f.Ratio = number(value / floor)
	}
	return f
}

// requestRow is a row in the table of requests to the API server.
type requestRow struct {
	Verb     string `json:"verb"`
	Resource string `json:"resource"`
	Count    number `json:"count"`
	// Each is Count per object or per rotation.
	Each number `json:"each"`
	// Floor is the same value for the floor. It is unknown without a floor.
	Floor number `json:"floor"`
}

// result is the result of a scenario.
type result struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// Times is the number of measurements behind the medians. It is 0 for a single measurement.
	Times    int          `json:"times,omitempty"`
	Figures  []figure     `json:"figures"`
	Requests []requestRow `json:"requests"`
	// Per is the divisor of Requests: object or rotation.
	Per string `json:"per"`
	// Notes are remarks that a reader of the figures needs.
	Notes []string `json:"notes,omitempty"`
	plots []plot
}

// requestRows returns the requests of a scenario, divided by per, which is the number of objects
// or of rotations. floor is nil if the scenario has no floor.
func requestRows(counts requestCounts, per float64, floor requestCounts, floorPer float64) []requestRow {
	var rows []requestRow
	for _, kind := range kinds(counts, floor) {
		row := requestRow{
			Verb: kind.verb, Resource: kind.resource,
			Count: number(counts[kind]), Each: number(counts[kind] / per), Floor: number(unknown),
		}
		if floor != nil {
			row.Floor = number(floor[kind] / floorPer)
		}
		rows = append(rows, row)
	}
	return rows
}
