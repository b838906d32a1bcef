package workossim_test

import (
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

func TestAvailableSaysWhatACallWouldGet(t *testing.T) {
	minute := workossim.Connection{ID: alice, Lifetime: time.Minute}
	fault := func(f workossim.Fault) func(*workossim.Simulator) {
		return func(s *workossim.Simulator) { s.Inject(f) }
	}
	nothing := func(*workossim.Simulator) {}
	tests := map[string]struct {
		connection workossim.Connection
		arrange    func(*workossim.Simulator)
		after      time.Duration
		want       bool
		expires    time.Duration // after start; 0: never
	}{
		"the current token":         {minute, nothing, 59 * time.Second, true, time.Minute},
		"the next, at expiry":       {minute, nothing, time.Minute, true, 2 * time.Minute},
		"the next, in the lead":     {workossim.Connection{ID: alice, Lifetime: time.Minute, RefreshLead: time.Second}, nothing, 59 * time.Second, true, 119 * time.Second},
		"one without expiry":        {workossim.Connection{ID: alice, NoExpiry: true}, nothing, time.Hour, true, 0},
		"one expired by hand":       {minute, func(s *workossim.Simulator) { s.Expire(alice) }, 0, true, time.Minute},
		"not connected":             {minute, func(s *workossim.Simulator) { s.SetState(alice, workossim.NotInstalled) }, 0, false, 0},
		"no connection":             {minute, func(s *workossim.Simulator) { s.Remove(alice) }, 0, false, 0},
		"no key":                    {minute, func(s *workossim.Simulator) { s.SetAPIKeys() }, 0, false, 0},
		"an outage":                 {minute, fault(workossim.Fault{Kind: workossim.FaultServerError}), 0, false, 0},
		"a spoiled token":           {minute, fault(workossim.Fault{Kind: workossim.FaultExpiredToken}), 0, false, 0},
		"a held answer":             {minute, fault(workossim.Fault{Kind: workossim.FaultLatency, Hold: make(chan struct{})}), 0, false, 0},
		"somebody else's outage":    {minute, fault(workossim.Fault{Kind: workossim.FaultServerError, Match: &bob}), 0, true, time.Minute},
		"an error beside the token": {minute, fault(workossim.Fault{Kind: workossim.FaultActiveWithError}), 0, true, time.Minute},
		"fields nobody heard of":    {minute, fault(workossim.Fault{Kind: workossim.FaultExtraFields}), 0, true, time.Minute},
		"the same with 503":         {minute, fault(workossim.Fault{Kind: workossim.FaultExtraFields, Status: 503}), 0, false, 0},
		"latency":                   {minute, fault(workossim.Fault{Kind: workossim.FaultLatency, Latency: time.Second}), 0, true, time.Minute},
		"a wrong date":              {minute, fault(workossim.Fault{Kind: workossim.FaultDateOffset, DateOffset: time.Hour}), 0, true, time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, test.connection)
			test.arrange(h.sim)
			before, beforeExpires, _ := h.sim.CurrentToken(alice)
			for range 2 { // Available changes nothing
				expires, ok := h.sim.Available(alice, start.Add(test.after))
				var want time.Time
				if test.expires != 0 {
					want = start.Add(test.expires)
				}
				if ok != test.want || !expires.Equal(want) {
					t.Errorf("got %t until %s, want %t until %s", ok, expires, test.want, want)
				}
			}
			if after, afterExpires, _ := h.sim.CurrentToken(alice); after != before || !afterExpires.Equal(beforeExpires) {
				t.Error("asking has changed the token")
			}
			if len(h.sim.Requests()) != 0 {
				t.Error("asking has been recorded")
			}
		})
	}
}

func TestAvailableHoldsUntilTheLastTimeOfAFault(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultRateLimited, Times: 1})
	if _, ok := h.sim.Available(alice, start); ok {
		t.Error("available during the fault")
	}
	h.call(alice)
	if _, ok := h.sim.Available(alice, start); !ok {
		t.Error("not available after the fault")
	}
}
