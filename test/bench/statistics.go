package main

import (
	"math"
	"slices"
	"time"
)

// quantile returns the smallest value v for which at least the share q of the values is at most
// v. It returns NaN without values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// mean returns the average. It returns NaN without values.
func mean(values []float64) float64 {
	total := 0.0
	for _, value := range values {
		total += value
	}
	return total / float64(len(values))
}

// mostWithin returns the maximum number of instants in a time span of this length. The end of
// the span is excluded.
func mostWithin(instants []time.Time, span time.Duration) int {
	sorted := slices.SortedFunc(slices.Values(instants), time.Time.Compare)
	most, first := 0, 0
	for last := range sorted {
		for sorted[last].Sub(sorted[first]) >= span {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

// distribution returns the curve of the percentage of values that are at most x.
func distribution(values []float64) []point {
	sorted := slices.Sorted(slices.Values(values))
	curve := make([]point, 0, len(sorted))
	for i, value := range sorted {
		curve = append(curve, point{value, 100 * float64(i+1) / float64(len(sorted))})
	}
	return curve
}

// countOver returns the curve of the number of instants up to x seconds after start. An instant
// before start counts at x = 0, because start may have been detected late.
func countOver(instants []time.Time, start time.Time) []point {
	curve := []point{{0, 0}}
	for i, at := range slices.SortedFunc(slices.Values(instants), time.Time.Compare) {
		curve = append(curve, point{max(0, at.Sub(start).Seconds()), float64(i + 1)})
	}
	return curve
}
