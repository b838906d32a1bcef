package workos

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// What is kept for what tenants choose goes again, and there is a bound on how much there is at once.
func TestWhatTenantsChooseIsForgotten(t *testing.T) {
	now := time.Date(2026, time.November, 23, 13, 0, 0, 0, time.UTC)
	key := newKeyState(1_000_000, &atomic.Uint64{})
	key.join("a/a", "https://api.workos.com", 1_000_000, now)
	fail := func(n int) {
		asked := call{"https://api.workos.com", Request{Slug: fmt.Sprint("slug-", n), UserID: "user"}}
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
	if got := len(key.floors.left); got != 3*maxCircuits {
		t.Fatalf("%d floors: the case is not as it says", got)
	}
	now = now.Add(failureLife + 2*time.Minute)
	fail(0)
	now = now.Add(MinInterval)
	fail(1)
	if circuits, floors := len(key.circuits), len(key.floors.left); circuits > 2 || floors > 1 {
		t.Errorf("%d circuits and %d floors are left", circuits, floors)
	}
}

func TestCircuitRemembersABoundedNumberOfConnections(t *testing.T) {
	now := time.Date(2026, time.November, 23, 13, 0, 0, 0, time.UTC)
	c := newCircuit()
	turn := Turn{Share: "a", Expired: true}
	for n := range 2 * maxFailing {
		asked := call{"https://api.workos.com", Request{Slug: "github", UserID: fmt.Sprint(n)}}
		c.fail(asked, turn, now)
		c.hold(call{"https://api.workos.com", Request{Slug: "github", UserID: fmt.Sprint("other ", n)}}, turn, now)
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
