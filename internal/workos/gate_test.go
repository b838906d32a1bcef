package workos_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// scripted is a transport whose answer a test can change at any time.
type scripted struct {
	clock    *clocktesting.FakePassiveClock
	next     roundTrip
	requests int
}

func (s *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	s.requests++
	return s.next(r)
}

func scriptedUpstream() (*scripted, *workos.Upstream) {
	s := &scripted{clock: steppedClock(), next: always(http.StatusOK, goodBody)}
	return s, workos.New(workos.Options{Transport: s, Clock: s.clock})
}

const staging = "https://api.workos-test.com"

func TestGateHoldsBackWhomItConcerns(t *testing.T) {
	for name, test := range map[string]struct {
		closing roundTrip
		outcome workos.Outcome
		wait    time.Duration
		staging bool // whether the same key is held back at another base URL
	}{
		"429":                  {always(429, "", "Retry-After", "20"), workos.OutcomeRateLimited, 20 * time.Second, true},
		"429 with a date":      {always(429, "", "Retry-After", epoch.Add(time.Minute).Format(http.TimeFormat)), workos.OutcomeRateLimited, time.Minute, true},
		"429 without a time":   {always(429, ""), workos.OutcomeRateLimited, time.Second, true},
		"401":                  {always(401, ""), workos.OutcomeKeyRejected, 30 * time.Second, false},
		"503 with Retry-After": {always(503, "", "Retry-After", "20"), workos.OutcomeUnavailable, 20 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, u := scriptedUpstream()
			a := connect(t, u, "a/a", baseURL, testKey, 6000)
			b := connect(t, u, "b/b", baseURL, testKey, 6000)
			elsewhere := connect(t, u, "c/c", staging, testKey, 6000)
			stranger := connect(t, u, "d/d", baseURL, testKey+"2", 6000)
			s.next = test.closing
			expect(t, ask(t, a, alice), test.outcome, true, test.wait)
			s.next = always(http.StatusOK, goodBody)

			step(s.clock, test.wait/4)
			for n, client := range []*workos.Client{a, a, b} {
				expectHeld(t, ask(t, client, user(n)), test.outcome, test.wait*3/4)
			}
			expect(t, ask(t, stranger, alice), workos.OutcomeToken, true, 0)
			if test.staging {
				expectHeld(t, ask(t, elsewhere, alice), test.outcome, test.wait*3/4)
			} else {
				expect(t, ask(t, elsewhere, alice), workos.OutcomeToken, true, 0)
			}

			step(s.clock, test.wait*3/4-1)
			expectHeld(t, ask(t, b, alice), test.outcome, 1)
			step(s.clock, 1)
			expect(t, ask(t, b, alice), workos.OutcomeToken, true, 0)
			expect(t, ask(t, a, alice), workos.OutcomeToken, true, 0)
			expect(t, ask(t, elsewhere, alice), workos.OutcomeToken, true, 0)
		})
	}
}

// expectHeld checks that a call was held back for wait or a little longer, so that not all
// callers come back at once. It also checks that the message does not depend on WorkOS's words.
func expectHeld(t *testing.T, got workos.Answer, outcome workos.Outcome, wait time.Duration) {
	t.Helper()
	if got.Outcome != outcome || got.Sent || got.RetryAfter < wait || got.RetryAfter > wait+300*time.Millisecond {
		t.Fatalf("got %s (%s), sent %v, retry after %v; want %s, held for %v", got.Outcome, got.Message, got.Sent, got.RetryAfter, outcome, wait)
	}
	if strings.Contains(got.Message, "HTTP") || got.Message == "" || got.RequestID != "" {
		t.Fatalf("got %q of request %q, which is not a fixed text", got.Message, got.RequestID)
	}
}

func TestOtherAnswersCloseNoGate(t *testing.T) {
	for _, status := range []int{200, 302, 400, 403, 404, 409, 422, 500, 503} {
		s, u := scriptedUpstream()
		client := connect(t, u, "a/a", baseURL, testKey, 6000)
		s.next = always(status, "")
		ask(t, client, alice)
		if answer := ask(t, client, alice); !answer.Sent || answer.RetryAfter != 0 {
			t.Errorf("%d: got %+v", status, answer)
		}
	}
}

func TestThousandObjectsDoNotHammerADeadKey(t *testing.T) {
	s, u := scriptedUpstream()
	s.next = always(401, "")
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	for range 10 { // five minutes in which every user comes back when told to
		for n := range 1000 {
			if answer := ask(t, client, user(n)); answer.Sent != (n == 0) || answer.Outcome != workos.OutcomeKeyRejected {
				t.Fatalf("user %d got %+v", n, answer)
			}
		}
		step(s.clock, 30*time.Second)
	}
	if s.requests != 10 {
		t.Errorf("got %d requests, want 10", s.requests)
	}
}

func TestOneCallGoesAheadWhenAGateOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, u := scriptedUpstream()
		client := connect(t, u, "a/a", baseURL, testKey, 6000)
		s.next = always(429, `{"message":"Slow down"}`, "Retry-After", "10")
		ask(t, client, alice)
		step(s.clock, 10*time.Second)

		slow := newBlocking()
		s.next = slow.RoundTrip
		ahead := make(chan workos.Answer)
		go func() { ahead <- ask(t, client, alice) }()
		synctest.Wait()
		expect(t, ask(t, client, user(1)), workos.OutcomeRateLimited, false, 2*time.Second)
		close(slow.released)
		expect(t, <-ahead, workos.OutcomeToken, true, 0)
		expect(t, ask(t, client, user(1)), workos.OutcomeToken, true, 0)
	})
}

func TestCallThatWentAheadAndIsNotAnsweredHoldsOthersBackBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, u := scriptedUpstream()
		client := connect(t, u, "a/a", baseURL, testKey, 6000)
		s.next = always(401, "")
		ask(t, client, alice)
		step(s.clock, 30*time.Second)

		slow := newBlocking()
		s.next = slow.RoundTrip
		ahead := make(chan workos.Answer)
		go func() { ahead <- ask(t, client, alice) }()
		synctest.Wait()
		s.next = always(http.StatusOK, goodBody)
		step(s.clock, 2*time.Second)
		expect(t, ask(t, client, user(1)), workos.OutcomeToken, true, 0)
		expect(t, ask(t, client, user(2)), workos.OutcomeToken, true, 0)
		close(slow.released)
		<-ahead
	})
}

func TestAnswersToEarlierCallsNeitherOpenNorShortenAGate(t *testing.T) {
	for name, late := range map[string]roundTrip{
		"token":          always(http.StatusOK, goodBody),
		"shorter wait":   always(429, "", "Retry-After", "5"),
		"rejected key":   always(401, ""),
		"no connection":  func(*http.Request) (*http.Response, error) { return nil, http.ErrServerClosed },
		"another answer": always(404, ""),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, u := scriptedUpstream()
				client := connect(t, u, "a/a", baseURL, testKey, 6000)
				release := make(chan struct{})
				s.next = func(r *http.Request) (*http.Response, error) { <-release; return late(r) }
				done := make(chan workos.Answer)
				go func() { done <- ask(t, client, alice) }()
				synctest.Wait()
				s.next = always(429, "", "Retry-After", "60")
				ask(t, client, user(1))
				close(release)
				<-done
				step(s.clock, 20*time.Second)
				expect(t, ask(t, client, user(2)), workos.OutcomeRateLimited, false, 40*time.Second)
			})
		})
	}
}

func TestLaterGateExtendsAnEarlierOne(t *testing.T) {
	s, u := scriptedUpstream()
	a, elsewhere := connect(t, u, "a/a", baseURL, testKey, 6000), connect(t, u, "b/b", staging, testKey, 6000)
	s.next = always(401, "")
	ask(t, a, alice)
	s.next = always(429, "", "Retry-After", "60")
	ask(t, elsewhere, alice)
	expect(t, ask(t, a, alice), workos.OutcomeRateLimited, false, time.Minute)
}

func TestClosedGateChargesNoBudget(t *testing.T) {
	s, u := scriptedUpstream()
	client := connect(t, u, "a/a", baseURL, testKey, 60)
	s.next = always(429, "", "Retry-After", "90")
	ask(t, client, alice)
	for n := range 100 {
		ask(t, client, user(n))
	}
	s.next = always(http.StatusOK, goodBody)
	step(s.clock, 90*time.Second)
	expect(t, ask(t, client, user(7)), workos.OutcomeToken, true, 0)
}

func TestGateSurvivesItsOwner(t *testing.T) {
	s, u := scriptedUpstream()
	s.next = always(429, "", "Retry-After", "600")
	ask(t, connect(t, u, "a/a", baseURL, testKey, 6000), alice)
	u.Disconnect("a/a")
	step(s.clock, 5*time.Minute)
	u.Disconnect("somebody/else")
	client := connect(t, u, "b/b", baseURL, testKey, 6000)
	expect(t, ask(t, client, alice), workos.OutcomeRateLimited, false, 5*time.Minute)
}

func TestNewKeyOfAnOwnerIsNotHeldBackByItsOldOne(t *testing.T) {
	s, u := scriptedUpstream()
	s.next = always(401, "")
	ask(t, connect(t, u, "a/a", baseURL, testKey, 6000), alice)
	s.next = always(http.StatusOK, goodBody)
	expect(t, ask(t, connect(t, u, "a/a", baseURL, testKey+"2", 6000), alice), workos.OutcomeToken, true, 0)
}
