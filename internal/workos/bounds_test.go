package workos

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// State for values that tenants choose (slugs, users) is dropped after some time, and the
// number of circuits is bounded at all times.
func TestWhatTenantsChooseIsForgotten(t *testing.T) {
	now := time.Date(2026, time.November, 23, 13, 0, 0, 0, time.UTC)
	key := newKeyState(1_000_000, &atomic.Uint64{})
	key.join("a/a", "https://api.workos.com", 1_000_000, now)
	fail := func(n int) {
		asked := call{base: "https://api.workos.com", request: Request{Slug: fmt.Sprint("slug-", n), UserID: "user"}}
		if _, refused := key.admit(asked, Turn{Share: "a"}, now); refused {
			t.Fatalf("call %d is refused", n)
		}
		key.settle(asked, Answer{Outcome: OutcomeUnavailable, Sent: true}, now)
		key.ended(asked, now)
	}
	for n := range 3 * maxCircuits {
		fail(n)
		now = now.Add(time.Millisecond)
	}
	if got := len(key.circuits); got != maxCircuits {
		t.Errorf("%d circuits, want %d", got, maxCircuits)
	}
	if got := len(key.floors.last); got != 3*maxCircuits {
		t.Fatalf("%d floors: the case is not as it says", got)
	}
	now = now.Add(failureLife + 2*time.Minute)
	fail(0)
	now = now.Add(MinInterval)
	fail(1)
	if circuits, floors := len(key.circuits), len(key.floors.last); circuits > 2 || floors > 2 {
		t.Errorf("%d circuits and %d floors are left", circuits, floors)
	}
}

func TestCircuitRemembersABoundedNumberOfConnections(t *testing.T) {
	now := time.Date(2026, time.November, 23, 13, 0, 0, 0, time.UTC)
	c := newCircuit()
	turn := Turn{Share: "a", Expired: true}
	for n := range 2 * maxFailing {
		asked := call{base: "https://api.workos.com", request: Request{Slug: "github", UserID: fmt.Sprint(n)}}
		c.fail(asked, turn, now)
		c.hold(call{base: "https://api.workos.com", request: Request{Slug: "github", UserID: fmt.Sprint("other ", n)}}, turn, now)
		c.probe(turn, now)
	}
	if len(c.failing) != maxFailing || len(c.firsts) != maxFailing || len(c.lines) > 2 {
		t.Errorf("%d failing, %d told to come, %d lines", len(c.failing), len(c.firsts), len(c.lines))
	}
	c.answer(call{})
	if len(c.firsts) != 0 || len(c.lines) != 0 || len(c.weights) != 0 {
		t.Error("a closed circuit holds somebody back")
	}
	if c.forget(now.Add(failureLife)) || !c.forget(now.Add(failureLife+1)) {
		t.Error("a connection that nobody asks for is not forgotten in time")
	}
}

func TestOpenGatesAreForgotten(t *testing.T) {
	now := time.Date(2026, time.November, 23, 13, 0, 0, 0, time.UTC)
	g := gates{}
	for n := range 100 {
		asked := call{base: fmt.Sprint("https://api.workos.com/", n)}
		g.settle(asked, Answer{Outcome: OutcomeKeyRejected, RetryAfter: rejectedRetryAfter}, now)
	}
	if g.forget(now.Add(rejectedRetryAfter)); len(g) != 100 {
		t.Errorf("%d gates are left of 100 that are closed", len(g))
	}
	if g.forget(now.Add(rejectedRetryAfter + time.Minute + 1)); len(g) != 0 {
		t.Errorf("%d gates are left", len(g))
	}
}

// Among callers that are held back for the first time, the latest comes first. All of them come
// before callers that are held back again.
func TestNewcomersProbeFirst(t *testing.T) {
	now := time.Date(2026, time.November, 23, 13, 0, 0, 0, time.UTC)
	c, turn := newCircuit(), Turn{Share: "a", Expired: true}
	user := func(n int) call {
		return call{base: "https://api.workos.com", request: Request{Slug: "github", UserID: fmt.Sprint(n)}}
	}
	for n := range 5 {
		c.fail(user(n), turn, now)
	}
	first, second := c.hold(user(10), turn, now), c.hold(user(11), turn, now)
	known := c.hold(user(0), turn, now)
	if urgentProbe > second || second >= first || first >= known {
		t.Errorf("the second newcomer is told to come in %v, the first in %v, one that fails in %v", second, first, known)
	}
	if got := c.wait(user(11), turn, now.Add(second)); got != 0 {
		t.Errorf("who comes when told waits for another %v", got)
	}
	c.probe(turn, now.Add(second))
	again, third := c.hold(user(10), turn, now.Add(first)), c.hold(user(12), turn, now.Add(first))
	if third >= again {
		t.Errorf("who is held back again is told to come in %v, a newcomer in %v", again, third)
	}
}

// A renewal that still has time is held back no longer than until it becomes urgent.
func TestHeldRenewalComesWhenItIsUrgent(t *testing.T) {
	now := time.Date(2026, time.November, 23, 13, 0, 0, 0, time.UTC)
	c, turn := newCircuit(), Turn{Share: "a", Deadline: now.Add(70 * time.Second)}
	asked := call{base: "https://api.workos.com", request: Request{Slug: "github", UserID: "alice"}}
	for range 3 {
		c.fail(asked, turn, now)
	}
	for range 6 {
		c.miss()
	}
	if !c.holds("a") || c.wait(asked, turn, now) < time.Minute {
		t.Fatalf("the case is not as it says: %v", c.wait(asked, turn, now))
	}
	if got := c.hold(asked, turn, now); got != 10*time.Second {
		t.Errorf("held back for %v, want 10s", got)
	}
	if got := c.hold(asked, turn, now.Add(10*time.Second)); got > 2*urgentProbe {
		t.Errorf("held back for %v once it is urgent", got)
	}
}
