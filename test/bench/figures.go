package main

import (
	"encoding/json"
	"math"
)

// number is one that may be unknown, as NaN, which JSON has no word for: there it is null.
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

// unknown stands for a figure that there is none of.
var unknown = math.NaN()

// figure is one row of a table.
type figure struct {
	// Name says what was measured, and its unit.
	Name string `json:"name"`
	Seen number `json:"seen"`
	// Floor is the same of the floor; unknown where there is none.
	Floor number `json:"floor"`
	// Ratio is that of the two; unknown where there is no floor.
	Ratio number `json:"ratio"`
	// Target is what is aimed at; empty where nothing is.
	Target string `json:"target,omitempty"`
	// Span is from the least to the most that was seen, where Seen is a median; empty where they are the same.
	Span string `json:"span,omitempty"`
}

// seen is a figure that has no floor.
func seen(name string, value float64, target string) figure {
	return figure{Name: name, Seen: number(value), Floor: number(unknown), Ratio: number(unknown), Target: target}
}

// against is a figure beside the floor's.
func against(name string, value, floor float64, target string) figure {
	f := seen(name, value, target)
	f.Floor = number(floor)
	if floor != 0 {
		f.Ratio = number(value / floor)
	}
	return f
}

// requestRow is one row of the table of requests to the API server.
type requestRow struct {
	Verb     string `json:"verb"`
	Resource string `json:"resource"`
	Count    number `json:"count"`
	// Each is how many there were for each object, or rotation.
	Each number `json:"each"`
	// Floor is the same of the floor; unknown where there is none.
	Floor number `json:"floor"`
}

// result is what a scenario has come to.
type result struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// Times is how many measurements the figures are the medians of; 0 where they are of one.
	Times    int          `json:"times,omitempty"`
	Figures  []figure     `json:"figures"`
	Requests []requestRow `json:"requests"`
	// Per is what Requests are divided by: object or rotation.
	Per string `json:"per"`
	// Notes are what whoever reads the figures has to know.
	Notes []string `json:"notes,omitempty"`
	plots []plot
}

// requestRows are the requests of a scenario, each divided by per: the objects, or the rotations, that there were. floor is nil where
// there is none.
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
