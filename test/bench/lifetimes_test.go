package main

import (
	"math"
	"slices"
	"strings"
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

func TestTheJournalIsParsed(t *testing.T) {
	const header = "time,slug,userID,organizationID,status,result,tokenSerial,tokenExpiresAt\n"
	calls, err := parseJournal(strings.NewReader(header +
		"2026-11-23T12:00:01.5Z,github,user_000042,,200,token,3,2026-11-23T12:01:00.25Z\n" +
		"2026-11-23T12:00:02Z,github,user_000007,,500,server_error,0,\n"))
	if err != nil || len(calls) != 2 {
		t.Fatalf("got %v, %v", calls, err)
	}
	if calls[0] != (call{at(1.5), 42, 3, at(60.25)}) || calls[1] != (call{at: at(2), object: 7}) {
		t.Errorf("got %v", calls)
	}
	if _, err := parseJournal(strings.NewReader(header + "now,github,user_1,,200,token,1,\n")); err == nil {
		t.Error("no error for a time that is none")
	}
}
