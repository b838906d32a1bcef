package workos_test

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

func TestWorkOSIsDownWhenFiveConnectionsInARowFail(t *testing.T) {
	s, u := scriptedUpstream()
	client, elsewhere := connect(t, u, "a/a", baseURL, testKey, 6000), connect(t, u, "b/b", staging, testKey, 6000)
	s.next = always(500, "")
	for range 20 { // one connection that never works is no outage
		expect(t, ask(t, client, alice), workos.OutcomeUnavailable, true, 0)
		step(s.clock, time.Second)
	}
	for n := range 3 {
		expect(t, ask(t, client, user(n)), workos.OutcomeUnavailable, true, 0)
	}
	s.next = always(404, "") // an answer: WorkOS is there
	ask(t, client, user(3))
	s.next = always(502, "")
	for n := range 5 {
		if _, troubled := client.Trouble(); troubled {
			t.Fatal("four are too few")
		}
		expect(t, ask(t, client, user(n)), workos.OutcomeUnavailable, true, 0)
		step(s.clock, 100*time.Millisecond)
	}
	if trouble, troubled := client.Trouble(); !troubled || trouble.Outcome != workos.OutcomeUnavailable {
		t.Errorf("got %+v, %v", trouble, troubled)
	}
	before := s.requests
	var waits []time.Duration
	for range 7 { // ten thousand come back whenever they are told to: one of them finds out
		var wait time.Duration
		for n := range 10000 {
			answer := ask(t, client, user(n))
			if answer.Outcome != workos.OutcomeUnavailable {
				t.Fatalf("got %+v", answer)
			}
			wait = answer.RetryAfter
		}
		waits = append(waits, wait.Round(time.Second))
		step(s.clock, wait)
	}
	if calls := s.requests - before; calls != 6 {
		t.Errorf("%d calls to find out six times", calls)
	}
	if want := []time.Duration{2e9, 4e9, 8e9, 16e9, 30e9, 30e9, 30e9}; !slices.Equal(waits, want) {
		t.Errorf("waited for %v, want %v", waits, want)
	}
	s.next = always(http.StatusOK, goodBody)
	expect(t, ask(t, elsewhere, alice), workos.OutcomeToken, true, 0)
	expect(t, ask(t, client, alice), workos.OutcomeToken, true, 0)
	expect(t, ask(t, client, user(1)), workos.OutcomeToken, true, 0)
	if trouble, troubled := client.Trouble(); troubled {
		t.Errorf("got %+v", trouble)
	}
}

// An integration that fails concerns nobody who uses another one.
func TestOneIntegrationThatFailsHoldsNoOtherBack(t *testing.T) {
	s, u := scriptedUpstream()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	s.next = always(500, "")
	for n := range 5 {
		ask(t, client, user(n))
	}
	expect(t, ask(t, client, user(7)), workos.OutcomeUnavailable, false, 2*time.Second)
	s.next = always(http.StatusOK, goodBody)
	expect(t, ask(t, client, workos.Request{Slug: "slack", UserID: "user_alice"}), workos.OutcomeToken, true, 0)
	if _, troubled := client.Trouble(); !troubled {
		t.Error("nobody is told of the one that fails")
	}
}

// An outage that ends in a rejected key has ended: WorkOS answers.
func TestARejectedKeyEndsAnOutage(t *testing.T) {
	s, u := scriptedUpstream()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	s.next = always(500, "")
	for n := range 5 {
		ask(t, client, user(n))
	}
	step(s.clock, 2*time.Second)
	s.next = always(401, "")
	expect(t, ask(t, client, alice), workos.OutcomeKeyRejected, true, 30*time.Second)
	if trouble, troubled := client.Trouble(); troubled {
		t.Errorf("got %+v", trouble)
	}
}

// Where WorkOS swallows requests, one call at a time finds out, for as long as a call may take.
func TestABlackHoleSwallowsOneCallAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, u := scriptedUpstream()
		client := connect(t, u, "a/a", baseURL, testKey, 6000)
		s.next = always(500, "")
		for n := range 5 {
			ask(t, client, user(n))
		}
		step(s.clock, 2*time.Second)
		slow := newBlocking()
		s.next = slow.RoundTrip
		ahead := make(chan workos.Answer)
		go func() { ahead <- ask(t, client, alice) }()
		synctest.Wait()
		step(s.clock, 10*time.Second)
		if answer := ask(t, client, user(1)); answer.Sent || answer.Outcome != workos.OutcomeUnavailable {
			t.Errorf("got %+v", answer)
		}
		close(slow.released)
		expect(t, <-ahead, workos.OutcomeToken, true, 0)
		s.next = always(http.StatusOK, goodBody)
		expect(t, ask(t, client, user(1)), workos.OutcomeToken, true, 0)
	})
}

// Many calls on their way that all get a 429 ask for patience once.
func TestABurstOf429HalvesThePaceOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, release := steppedClock(), make(chan struct{})
		u := workos.New(workos.Options{Clock: clock, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			<-release
			return always(429, "", "Retry-After", "1")(r)
		})})
		client := connect(t, u, "a/a", baseURL, testKey, 6000)
		done := make(chan workos.Answer)
		for n := range 10 {
			go func() { done <- ask(t, client, user(n)) }()
		}
		synctest.Wait()
		close(release)
		for range 10 {
			<-done
		}
		step(clock, 31*time.Second) // half of the pace is back after half a minute
		if _, troubled := client.Trouble(); troubled {
			t.Error("the pace is not back")
		}
	})
}
