package workos_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// Requests for one connection from one namespace are five seconds apart, whatever makes the
// caller come again.
func TestCallsForOneConnectionAreFiveSecondsApart(t *testing.T) {
	for name, turn := range map[string]workos.Turn{
		"a first token": {Share: "a"}, "a renewal": {Share: "a", Deadline: epoch.Add(time.Minute)}, "a poll": {Share: "a", Idle: true},
	} {
		t.Run(name, func(t *testing.T) {
			r, u := recording()
			client := connect(t, u, "a/a", baseURL, testKey, 6000)
			for range 300 { // half a minute
				before := len(r.sent)
				answer := askAs(t, client, alice, turn)
				if answer.Sent == (answer.Outcome == workos.OutcomeHeld) || answer.Sent != (len(r.sent) == before+1) {
					t.Fatalf("got %+v", answer)
				}
				if left := answer.RetryAfter; !answer.Sent && !r.clock.Now().Add(left).Equal(r.sent[before-1].Add(workos.MinInterval)) {
					t.Fatalf("told to come back in %v, %v after the last request", left, r.clock.Now().Sub(r.sent[before-1]))
				}
				step(r.clock, 100*time.Millisecond)
			}
			if len(r.sent) != 6 {
				t.Errorf("%d requests in 30 s, want 6", len(r.sent))
			}
		})
	}
}

func TestFloorIsOfOneConnectionAndNamespace(t *testing.T) {
	_, u := recording()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	expectOutcome(t, askAs(t, client, alice, workos.Turn{Share: "a"}), workos.OutcomeToken, true)
	expectOutcome(t, askAs(t, client, alice, workos.Turn{Share: "b"}), workos.OutcomeToken, true)
	expectOutcome(t, askAs(t, client, user(1), workos.Turn{Share: "a"}), workos.OutcomeToken, true)
	expectOutcome(t, askAs(t, client, alice, workos.Turn{Share: "a"}), workos.OutcomeHeld, false)
}

// Two PipesTokens of a namespace may be for one connection. When its token expires, both are
// due at the same moment, and neither may be without a token for five seconds.
func TestOthersOfTheNamespaceShareTheTokenWithinTheFloor(t *testing.T) {
	r, u := recording()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	first := askAs(t, client, alice, workos.Turn{Share: "a", Asker: "x"})
	step(r.clock, time.Second)
	for _, asker := range []string{"y", "z"} {
		shared := askAs(t, client, alice, workos.Turn{Share: "a", Asker: asker})
		if !shared.Sent || shared.Token.Value.Reveal() != first.Token.Value.Reveal() || len(r.sent) != 1 {
			t.Errorf("%s gets %+v, after %d requests", asker, shared, len(r.sent))
		}
	}
	expectOutcome(t, askAs(t, client, alice, workos.Turn{Share: "a", Asker: "x"}), workos.OutcomeHeld, false)
	expectOutcome(t, askAs(t, client, alice, workos.Turn{Share: "b", Asker: "w"}), workos.OutcomeToken, true)
	if len(r.sent) != 2 {
		t.Errorf("%d requests: another namespace has its own", len(r.sent))
	}
	step(r.clock, workos.MinInterval)
	expectOutcome(t, askAs(t, client, alice, workos.Turn{Share: "a", Asker: "y"}), workos.OutcomeToken, true)
	if len(r.sent) != 3 {
		t.Errorf("%d requests: five seconds later it is asked for again", len(r.sent))
	}
}

// A user asks for a refresh because of a recent event. A token from before the event is no
// answer, even if it is new to this PipesToken.
func TestARefreshGetsNothingThatWasBroughtBefore(t *testing.T) {
	r, u := recording()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	refresh := func(asker string) workos.Turn { return workos.Turn{Share: "a", Asker: asker, Refresh: true} }
	askAs(t, client, alice, workos.Turn{Share: "a", Asker: "x"})
	step(r.clock, time.Second)
	for _, asker := range []string{"x", "y", "z"} {
		answer := askAs(t, client, alice, refresh(asker))
		expectOutcome(t, answer, workos.OutcomeHeld, false)
		if answer.RetryAfter != workos.MinInterval-time.Second {
			t.Errorf("%s is told to come back in %v", asker, answer.RetryAfter)
		}
	}
	step(r.clock, workos.MinInterval-time.Second)
	for _, asker := range []string{"y", "x", "z"} {
		expectOutcome(t, askAs(t, client, alice, refresh(asker)), workos.OutcomeToken, true)
		if len(r.sent) != 2 {
			t.Errorf("%d requests when %s has its token, want one for the three of them", len(r.sent), asker)
		}
	}
	for _, asker := range []string{"y", "x", "z", "new"} {
		expectOutcome(t, askAs(t, client, alice, refresh(asker)), workos.OutcomeHeld, false)
	}
}

// Two connections that are asked for ten times a second take only a little of a small budget.
// The first token of a neighbour comes at once.
func TestRefreshesInALoopDelayNoNeighbour(t *testing.T) {
	r, u := recording()
	client := connect(t, u, "a/a", baseURL, testKey, 60)
	for n := range 600 { // a minute
		for _, connection := range []int{1, 2} {
			askAs(t, client, user(connection), workos.Turn{Share: "attacker", Proven: true})
		}
		if n == 0 || n%100 != 0 {
			step(r.clock, 100*time.Millisecond)
			continue
		}
		neighbour, begin := user(1000+n), r.clock.Now()
		for {
			answer := askAs(t, client, neighbour, workos.Turn{Share: fmt.Sprint("victim-", n)})
			if answer.Sent {
				break
			}
			step(r.clock, answer.RetryAfter)
		}
		if took := r.clock.Now().Sub(begin); took > 2*time.Second {
			t.Errorf("after %d rounds a neighbour waits for %v", n, took)
		}
	}
	r.noMinuteAbove(t, 60)
}
