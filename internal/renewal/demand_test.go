package renewal_test

import (
	"math"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/renewal"
)

func dues(n int, at, expires time.Duration) (all []renewal.Due) {
	for range n {
		all = append(all, renewal.Due{At: start.Add(at), Expires: start.Add(expires), Every: 1000 * time.Hour})
	}
	return all
}

// A window consists of whole grains: one grain is added to the time between At and Expires.
func TestDemand(t *testing.T) {
	for name, test := range map[string]struct {
		dues []renewal.Due
		want float64
	}{
		"none":                           {nil, 0},
		"one":                            {dues(1, 8*time.Minute, 10*time.Minute), 0.4},
		"a cluster":                      {dues(1000, 8*time.Minute, 10*time.Minute), 400},
		"that is due already":            {dues(1000, -time.Hour, 9*time.Minute+45*time.Second), 100},
		"two clusters, far apart":        {append(dues(1000, 8*time.Minute, 10*time.Minute), dues(500, 48*time.Minute, 50*time.Minute)...), 400},
		"two clusters, one in the other": {append(dues(1000, 5*time.Minute, 10*time.Minute), dues(1000, 8*time.Minute, 10*time.Minute)...), 400},
		"two clusters that overlap":      {append(dues(1000, 5*time.Minute, 10*time.Minute), dues(1000, 7*time.Minute, 12*time.Minute)...), 266.7},
		"expired":                        {dues(1000, -time.Hour, 0), 0},
		"later than the next hour":       {dues(1000, time.Hour, 2*time.Hour), 0},
		"due only when they expire":      {dues(60, 10*time.Minute, 10*time.Minute), 60},
		"the last of the hour":           {dues(1, 59*time.Minute, time.Hour-1), 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := renewal.Demand(start, test.dues); math.Abs(got-test.want) > 0.05 {
				t.Errorf("got %.2f a minute, want %.2f", got, test.want)
			}
		})
	}
}

// Tokens that live for an hour and were obtained evenly need this many calls per minute: the
// number of tokens, divided by the minutes between two renewals.
func TestDemandOfASteadyState(t *testing.T) {
	var all []renewal.Due
	for n := range 3600 {
		obtained := start.Add(-time.Duration(n) * time.Second)
		all = append(all, renewal.Due{At: obtained.Add(50 * time.Minute), Expires: obtained.Add(time.Hour), Every: 50 * time.Minute})
	}
	if got := renewal.Demand(start, all); math.Abs(got-72) > 0.1 {
		t.Errorf("got %.1f a minute, want 72", got)
	}
}
