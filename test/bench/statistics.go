package main

import (
	"math"
	"slices"
	"time"
)

// quantile is the smallest of the values that at least the share q of them do not exceed; NaN when there are none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// mean is NaN when there are no values.
func mean(values []float64) float64 {
	total := 0.0
	for _, value := range values {
		total += value
	}
	return total / float64(len(values))
}

// mostWithin is the most instants that any span of that length holds, its end not included.
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

// distribution is the curve of the share of the values, in percent, that do not exceed x.
func distribution(values []float64) []point {
	sorted := slices.Sorted(slices.Values(values))
	curve := make([]point, 0, len(sorted))
	for i, value := range sorted {
		curve = append(curve, point{value, 100 * float64(i+1) / float64(len(sorted))})
	}
	return curve
}

// countOver is the curve of how many of the instants have come x seconds after the start. Those before it, which has been noticed late
// then, count from there.
func countOver(instants []time.Time, start time.Time) []point {
	curve := []point{{0, 0}}
	for i, at := range slices.SortedFunc(slices.Values(instants), time.Time.Compare) {
		curve = append(curve, point{max(0, at.Sub(start).Seconds()), float64(i + 1)})
	}
	return curve
}
