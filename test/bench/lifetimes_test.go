package main

import (
	"slices"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

func TestRotationsAreToldFromCallsAndStatuses(t *testing.T) {
	calls := []call{
		{at: at(0), object: 7, serial: 1, expires: at(60.5)},
		{at: at(1), object: 8, serial: 1, expires: at(61)},
		{at: at(41.5), object: 7, serial: 1, expires: at(60.5)}, // the same token
		{at: at(50), object: 7},                                 // an error
		{at: at(62), object: 7, serial: 2, expires: at(122)},
		{at: at(30), object: 8, serial: 2, expires: at(90)}, // too early
		{at: at(2), object: 9, serial: 1, expires: at(62)},  // a deleted object
	}
	histories := map[int]history{
		7: {tokens: []held{{at(60), at(40), at(0.2)}, {at(122), at(100), at(62.5)}}},
		8: {tokens: []held{{at(61), at(45), at(1.2)}, {at(90), at(75), at(30.2)}}},
	}
	r := rotationsBetween(at(10), at(91), calls, histories)
	if r.count != 2 || len(r.calls) != 1 || !slices.Equal(slices.Sorted(slices.Values(r.calls[0])), []float64{1, 3}) {
		t.Errorf("got %d rotations that took %v", r.count, r.calls)
	}
	if !slices.Equal(r.lateness, []float64{1.5}) || r.early != 1 {
		t.Errorf("got lateness %v, and %d early calls", r.lateness, r.early)
	}
	if r.expired != 3 { // 7 from 60.5 to 62.5, 8 from 90 to the end
		t.Errorf("got %g s expired", r.expired)
	}
}

func TestRotationsOutsideTheSpanDoNotCount(t *testing.T) {
	calls := []call{
		{at: at(0), serial: 1, expires: at(60)},
		{at: at(70), serial: 2, expires: at(130)},
		{at: at(140), serial: 3, expires: at(200)},
	}
	histories := map[int]history{0: {tokens: []held{
		{at(60), at(40), at(0)}, {at(130), at(110), at(70)}, {at(200), at(180), at(140)},
	}}}
	r := rotationsBetween(at(80), at(120), calls, histories)
	if r.count != 0 || len(r.lateness) != 0 || r.expired != 0 {
		t.Errorf("got %+v", r)
	}
}
