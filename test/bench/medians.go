package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
)

// mediansCommand reads the results.json of several runs and prints a page with their medians.
const mediansCommand = "medians"

func runMedians(files []string, stdout io.Writer) error {
	if len(files) == 0 {
		return errors.New("medians of what? Name the results.json of each run")
	}
	var runs []findings
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading the results: %w", err)
		}
		var run findings
		if err := json.Unmarshal(text, &run); err != nil {
			return fmt.Errorf("reading the results: %s: %w", file, err)
		}
		runs = append(runs, run)
	}
	merged, err := medians(runs)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(stdout, merged.markdown())
	return err
}

// medians merges runs with the same parameters. It takes the median of each figure, of each
// floor and of each ratio. A ratio is always from a single run.
func medians(runs []findings) (findings, error) {
	merged := runs[0]
	merged.Scenarios = nil
	var all []result
	for _, run := range runs {
		if !reflect.DeepEqual(run.Parameters, merged.Parameters) {
			return findings{}, fmt.Errorf("they are of different commands:\n    %s\n    %s",
				merged.Parameters.command(), run.Parameters.command())
		}
		if run.Machine != merged.Machine {
			return findings{}, fmt.Errorf("they are of different machines or commits: %+v and %+v", merged.Machine, run.Machine)
		}
		all = append(all, run.Scenarios...)
	}
	merged.Scenarios = eachOnce(all)
	return merged, nil
}

// eachOnce merges the results of each scenario that was measured several times.
func eachOnce(all []result) []result {
	var once []result
	for _, of := range groups(all, func(r result) string { return r.Name }) {
		r := of[0]
		if len(of) > 1 {
			r = medianResult(of)
		}
		once = append(once, r)
	}
	return once
}

// medianResult merges the results of the same scenario. It keeps all notes.
func medianResult(runs []result) result {
	merged := result{Name: runs[0].Name, Title: runs[0].Title, Times: len(runs), Per: runs[0].Per}
	var figures []figure
	var requests []requestRow
	for _, run := range runs {
		figures, requests, merged.Notes = append(figures, run.Figures...),
			append(requests, run.Requests...), append(merged.Notes, run.Notes...)
	}
	for _, of := range groups(figures, func(f figure) string { return f.Name }) {
		merged.Figures = append(merged.Figures, medianFigure(of))
	}
	for _, of := range groups(requests, func(q requestRow) string { return q.Verb + " " + q.Resource }) {
		merged.Requests = append(merged.Requests, requestRow{
			Verb: of[0].Verb, Resource: of[0].Resource,
			Count: median(of, func(q requestRow) number { return q.Count }),
			Each:  median(of, func(q requestRow) number { return q.Each }),
			Floor: median(of, func(q requestRow) number { return q.Floor }),
		})
	}
	slices.Sort(merged.Notes)
	merged.Notes = slices.Compact(merged.Notes)
	return merged
}

func medianFigure(of []figure) figure {
	seen := func(f figure) number { return f.Seen }
	return figure{
		Name: of[0].Name, Target: of[0].Target,
		Seen:  median(of, seen),
		Floor: median(of, func(f figure) number { return f.Floor }),
		Ratio: median(of, func(f figure) number { return f.Ratio }),
		Span:  spanOf(of, seen),
	}
}

// median returns the median of the known values, or unknown without known values. With an even
// number of values, it returns the lower of the two middle values.
func median[T any](of []T, value func(T) number) number {
	return number(quantile(known(of, value), 0.5))
}

// spanOf returns the range of the values. It is empty if all values are equal.
func spanOf[T any](of []T, value func(T) number) string {
	values := known(of, value)
	if len(values) == 0 {
		return ""
	}
	least, most := number(slices.Min(values)).String(), number(slices.Max(values)).String()
	if least == most {
		return ""
	}
	return least + "–" + most
}

func known[T any](of []T, value func(T) number) []float64 {
	var values []float64
	for _, each := range of {
		if v := float64(value(each)); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return values
}

// groups returns the values by key, in the order in which the keys first appear.
func groups[T any](all []T, key func(T) string) [][]T {
	var result [][]T
	at := map[string]int{}
	for _, each := range all {
		i, found := at[key(each)]
		if !found {
			i = len(result)
			at[key(each)], result = i, append(result, nil)
		}
		result[i] = append(result[i], each)
	}
	return result
}

// command returns the make command for a run with these parameters.
func (p parameters) command() string {
	return fmt.Sprintf("make bench N=%d LIFETIME=%s LEAD=%s LATENCY=%s WORKERS=%d LIFETIMES=%d BUDGET=%d SCENARIOS=%s",
		p.Objects, p.Lifetime, p.Lead, p.Latency, p.Workers, p.Lifetimes, p.Budget, strings.Join(p.Scenarios, ","))
}
