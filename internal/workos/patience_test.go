package workos_test

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// patient returns an Upstream whose callers wait for a second. In a synctest bubble it uses the
// bubble's clock.
func patient(transport http.RoundTripper) *workos.Upstream {
	return workos.New(workos.Options{Transport: transport, Patience: time.Second})
}

func TestCallerLeavesASlowCallAndIsCalledBackWithItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := newBlocking()
		u := patient(slow)
		client := connect(t, u, "a/a", baseURL, testKey, 6000)
		var told []workos.Request
		u.OnRecovery(func(_ string, of workos.Request) { told = append(told, of) })
		begin := time.Now()
		left := askAs(t, client, alice, workos.Turn{Share: "a"})
		if took := time.Since(begin); took != time.Second || left.Outcome != workos.OutcomeHeld || left.Sent || left.RetryAfter != 15*time.Second {
			t.Fatalf("after %v: got %+v", took, left)
		}
		again := make(chan workos.Answer)
		go func() { again <- askAs(t, client, alice, workos.Turn{Share: "a"}) }()
		synctest.Wait()
		if requests := slow.requests.Load(); requests != 1 {
			t.Errorf("%d requests, want the one that is under way", requests)
		}
		expectOutcome(t, <-again, workos.OutcomeHeld, false)

		close(slow.released)
		synctest.Wait()
		if !slices.Equal(told, []workos.Request{alice}) || client.Epoch() == left.Epoch {
			t.Errorf("called back: %+v", told)
		}
		expect(t, askAs(t, client, alice, workos.Turn{Share: "a"}), workos.OutcomeToken, true, 0)
		expectOutcome(t, askAs(t, client, alice, workos.Turn{Share: "a"}), workos.OutcomeHeld, false)
		if requests := slow.requests.Load(); requests != 1 {
			t.Errorf("%d requests", requests)
		}
	})
}

// An answer that no caller fetches within its time is dropped.
func TestAnswerThatNobodyComesForIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, clock := newBlocking(), steppedClock()
		u := workos.New(workos.Options{Transport: slow, Patience: time.Second, Clock: clock})
		client := connect(t, u, "a/a", baseURL, testKey, 6000)
		askAs(t, client, alice, workos.Turn{Share: "a"})
		close(slow.released)
		synctest.Wait()
		step(clock, 30*time.Second)
		expectOutcome(t, askAs(t, client, alice, workos.Turn{Share: "a"}), workos.OutcomeToken, true)
		if requests := slow.requests.Load(); requests != 2 {
			t.Errorf("%d requests, want a second one", requests)
		}
	})
}

// Once some calls of an integration hang, further callers of this integration wait only for a
// moment. Callers of another integration still wait for the full time.
func TestCallersOfAnIntegrationThatHangsLeaveSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := newBlocking()
		client := connect(t, patient(hangs), "a/a", baseURL, testKey, 6000)
		wait := func(r workos.Request) time.Duration {
			begin := time.Now()
			expectOutcome(t, askAs(t, client, r, workos.Turn{Share: "a"}), workos.OutcomeHeld, false)
			return time.Since(begin)
		}
		for n := range 3 {
			if took := wait(user(n)); took != time.Second {
				t.Errorf("caller %d leaves after %v", n, took)
			}
		}
		if took := wait(user(3)); took != 100*time.Millisecond {
			t.Errorf("a further one leaves after %v", took)
		}
		if took := wait(workos.Request{Slug: "slack", UserID: "user_alice"}); took != time.Second {
			t.Errorf("one of another integration leaves after %v", took)
		}
		close(hangs.released)
	})
}
