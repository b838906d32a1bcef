package main

import (
	"encoding/json"
	"math"
)

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
