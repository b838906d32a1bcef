package main

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestAQuantileIsOneOfTheValues(t *testing.T) {
	values := []float64{4, 1, 3, 2}
	for q, want := range map[float64]float64{0: 1, 0.25: 1, 0.5: 2, 0.51: 3, 0.99: 4, 1: 4} {
		if got := quantile(values, q); got != want {
			t.Errorf("quantile %g: got %g, want %g", q, got, want)
		}
	}
	if !math.IsNaN(quantile(nil, 0.5)) || !math.IsNaN(mean(nil)) {
		t.Error("there is a figure where there is no value")
	}
	if !slices.Equal(values, []float64{4, 1, 3, 2}) {
		t.Error("the values have been moved")
	}
}

func TestTheMostWithinASpan(t *testing.T) {
	instants := []time.Time{at(0), at(59.9), at(60), at(61), at(130)}
	// The result counts 59.9, 60 and 61. The instant 0 is a whole minute before 60.
	if got := mostWithin(instants, time.Minute); got != 3 {
		t.Errorf("got %d", got)
	}
	if got := mostWithin(nil, time.Minute); got != 0 {
		t.Errorf("got %d of none", got)
	}
}

func TestTheShareOfABudget(t *testing.T) {
	if got := shareUsed([]time.Time{at(0), at(1), at(2), at(4)}, 1); got != 0.75 {
		t.Errorf("got %g", got)
	}
	if got := shareUsed([]time.Time{at(0)}, 1); !math.IsNaN(got) {
		t.Errorf("got %g of a single call", got)
	}
}

func TestCurves(t *testing.T) {
	if got := distribution([]float64{3, 1}); !slices.Equal(got, []point{{1, 50}, {3, 100}}) {
		t.Errorf("got %v", got)
	}
	if got := countOver([]time.Time{at(3), at(1)}, at(0)); !slices.Equal(got, []point{{0, 0}, {1, 1}, {3, 2}}) {
		t.Errorf("got %v", got)
	}
}
