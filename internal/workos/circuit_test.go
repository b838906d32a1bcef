package workos_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// askAs asks with a turn.
func askAs(t *testing.T, c *workos.Client, r workos.Request, turn workos.Turn) workos.Answer {
	t.Helper()
	answer, err := c.Token(t.Context(), r, turn)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// proven returns a turn of a connection in a namespace that has returned a token before. That
// token has expired.
func proven(share string) workos.Turn { return workos.Turn{Share: share, Proven: true, Expired: true} }

// down makes five connections of a namespace fail, which opens the circuit for it.
func down(t *testing.T, s *scripted, c *workos.Client, share string) {
	t.Helper()
	s.next = always(500, "")
	for n := range 5 {
		expectOutcome(t, askAs(t, c, user(n), proven(share)), workos.OutcomeUnavailable, true)
	}
}

func expectOutcome(t *testing.T, got workos.Answer, outcome workos.Outcome, sent bool) {
	t.Helper()
	if got.Outcome != outcome || got.Sent != sent {
		t.Fatalf("got %s (%s), sent %v; want %s, sent %v", got.Outcome, got.Message, got.Sent, outcome, sent)
	}
}

func TestCircuitOpensWhenFiveConnectionsFailInARow(t *testing.T) {
	s, u := scriptedUpstream()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	s.next = always(500, "")
	for n := range 4 {
		expectOutcome(t, askAs(t, client, user(n), proven("a")), workos.OutcomeUnavailable, true)
	}
	s.next = always(404, "") // an answer: WorkOS is up
	askAs(t, client, user(4), proven("a"))
	s.next = always(500, "")
	for n := range 5 {
		if _, troubled := client.Trouble(); troubled {
			t.Fatal("four are too few")
		}
		expectOutcome(t, askAs(t, client, user(10+n), proven("a")), workos.OutcomeUnavailable, true)
	}
	if trouble, troubled := client.Trouble(); !troubled || trouble != (workos.Trouble{Outcome: workos.OutcomeUnavailable}) {
		t.Errorf("got %+v, %v", trouble, troubled)
	}
	answer := askAs(t, client, user(20), proven("a"))
	if answer.Sent || !answer.Down || answer.RetryAfter < 2*time.Second || answer.RetryAfter > 3*time.Second {
		t.Errorf("got %+v", answer)
	}
}

// If the calls of one user fail while no other user calls, that is not a failure of the
// integration.
func TestOneConnectionThatFailsIsNoTroubleOfOthers(t *testing.T) {
	s, u := scriptedUpstream()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	s.next = always(500, "")
	for range 20 {
		expectOutcome(t, askAs(t, client, alice, proven("a")), workos.OutcomeUnavailable, true)
		if trouble, troubled := client.Trouble(); troubled {
			t.Fatalf("one is too few: %+v", trouble)
		}
		step(s.clock, 10*time.Second)
	}
	expectOutcome(t, askAs(t, client, user(0), proven("a")), workos.OutcomeUnavailable, true)
	if _, troubled := client.Trouble(); !troubled {
		t.Error("two are enough")
	}
}

// Connections that have never returned a token may never have worked: it takes more of them to
// open the circuit.
func TestNewConnectionsThatFailAreTheirOwnTrouble(t *testing.T) {
	s, u := scriptedUpstream()
	client := connect(t, u, "a/a", baseURL, testKey, 60000)
	s.next = always(http.StatusOK, "no JSON")
	for n := range 49 {
		expectOutcome(t, askAs(t, client, user(n), workos.Turn{Share: "a"}), workos.OutcomeUnreadable, true)
	}
	if _, troubled := client.Trouble(); troubled {
		t.Error("they hold back others")
	}
	askAs(t, client, user(49), workos.Turn{Share: "a"})
	expectOutcome(t, askAs(t, client, user(50), workos.Turn{Share: "a"}), workos.OutcomeUnavailable, false)
}

// The words of WorkOS to one connection are not shown to another connection.
func TestOpenCircuitSpeaksInWordsOfItsOwn(t *testing.T) {
	s, u := scriptedUpstream()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	s.next = always(500, `{"message":"refresh failed for account alice1@tenant-a.example"}`, "X-Request-ID", "req_1")
	for n := range 5 {
		if answer := askAs(t, client, user(n), proven("a")); !strings.Contains(answer.Message, "alice1") {
			t.Fatalf("the case is not as it says: %+v", answer)
		}
	}
	other := askAs(t, client, user(9), proven("a"))
	if other.Sent || other.RequestID != "" || strings.Contains(other.Message, "alice1") || other.Message == "" {
		t.Errorf("got %+v", other)
	}
}

// One namespace holds back only itself, however many of its users fail.
func TestCircuitOfOneNamespaceIsItsOwn(t *testing.T) {
	s, u := scriptedUpstream()
	client := connect(t, u, "a/a", baseURL, testKey, 60000)
	s.next = always(500, "")
	for n := range 100 {
		askAs(t, client, user(n), proven("attacker"))
	}
	expectOutcome(t, askAs(t, client, user(200), proven("attacker")), workos.OutcomeUnavailable, false)
	for n, share := range []string{"b", "c"} {
		expectOutcome(t, askAs(t, client, user(300+n), proven(share)), workos.OutcomeUnavailable, true)
	}
	s.next = always(http.StatusOK, goodBody)
	expect(t, askAs(t, client, user(400), proven("d")), workos.OutcomeToken, true, 0)
	expect(t, askAs(t, client, user(201), proven("attacker")), workos.OutcomeToken, true, 0)
}

// If each namespace has one user, five of these users are as much evidence as five users of one
// namespace.
func TestCircuitOpensForAllWhenManyNamespacesFail(t *testing.T) {
	s, u := scriptedUpstream()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	s.next = always(500, "")
	for n := range 5 {
		expectOutcome(t, askAs(t, client, user(n), proven(fmt.Sprint("ns-", n))), workos.OutcomeUnavailable, true)
	}
	expectOutcome(t, askAs(t, client, user(5), proven("another")), workos.OutcomeUnavailable, false)
}

// Connections that fail while others are answered open the circuit once, but not again and again.
func TestConnectionsThatFailWhileOthersWorkAreNoEvidence(t *testing.T) {
	s, u := scriptedUpstream()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	down(t, s, client, "a")
	for range 10 {
		step(s.clock, 10*time.Second)
		s.next = always(http.StatusOK, goodBody)
		expectOutcome(t, askAs(t, client, alice, proven("a")), workos.OutcomeToken, true)
		s.next = always(500, "")
		for n := range 5 {
			if answer := askAs(t, client, user(n), proven("a")); !answer.Sent || answer.Down {
				t.Fatalf("got %+v", answer)
			}
		}
	}
}

func TestProbesWhileTheCircuitIsOpen(t *testing.T) {
	soon, later := workos.Turn{Share: "a", Deadline: epoch.Add(50 * time.Second)}, workos.Turn{Share: "a", Deadline: epoch.Add(9 * time.Hour)}
	for name, test := range map[string]struct {
		request workos.Request // of the probe
		turn    workos.Turn
		want    []time.Duration
	}{
		"a token is about to expire":              {user(100), soon, []time.Duration{2e9, 2e9, 2e9, 2e9, 2e9, 2e9}},
		"a token has expired":                     {user(100), proven("a"), []time.Duration{2e9, 2e9, 2e9, 2e9, 2e9, 2e9}},
		"a connection that is known to fail":      {user(0), proven("a"), []time.Duration{5e9, 5e9, 5e9, 5e9, 5e9, 5e9}},
		"all tokens are valid for long":           {user(100), later, []time.Duration{2e9, 4e9, 8e9, 16e9, 30e9, 30e9}},
		"a refresh of a valid token is asked for": {user(100), workos.Turn{Share: "a", Proven: true}, []time.Duration{2e9, 4e9, 8e9, 16e9, 30e9, 30e9}},
		"somebody has to act first":               {user(100), workos.Turn{Share: "a", Idle: true, Proven: true}, []time.Duration{2e9, 4e9, 8e9, 16e9, 30e9, 30e9}},
		"a first token is missing":                {user(100), workos.Turn{Share: "a"}, []time.Duration{2e9, 2e9, 2e9, 2e9, 2e9, 2e9}},
	} {
		t.Run(name, func(t *testing.T) {
			s, u := scriptedUpstream()
			client := connect(t, u, "a/a", baseURL, testKey, 6000)
			down(t, s, client, "a")
			var waits []time.Duration
			last := s.clock.Now()
			for n := 0; len(waits) < len(test.want); step(s.clock, 100*time.Millisecond) {
				request := test.request
				if request == user(100) {
					request = user(100 + n) // a connection that is not known to fail
				}
				if askAs(t, client, request, test.turn).Sent {
					waits = append(waits, s.clock.Now().Sub(last))
					last = s.clock.Now()
					n++
				}
			}
			if !slices.Equal(waits, test.want) {
				t.Errorf("probed after %v, want %v", waits, test.want)
			}
		})
	}
}

// A probe that hangs does not stop other probes, and the first answer closes the circuit,
// whichever call gets it.
func TestProbeThatHangsDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, u := scriptedUpstream()
		client := connect(t, u, "a/a", baseURL, testKey, 6000)
		down(t, s, client, "a")
		slow := newBlocking()
		s.next = slow.RoundTrip
		hung := make(chan workos.Answer)
		for n := range 3 {
			step(s.clock, 2*time.Second)
			go func() { hung <- askAs(t, client, user(10+n), proven("a")) }()
			synctest.Wait()
			if got := int(slow.requests.Load()); got != n+1 {
				t.Fatalf("%d probes are under way, want %d", got, n+1)
			}
		}
		step(s.clock, 2*time.Second)
		s.next = always(http.StatusOK, goodBody)
		expectOutcome(t, askAs(t, client, user(20), proven("a")), workos.OutcomeToken, true)
		expectOutcome(t, askAs(t, client, user(21), proven("a")), workos.OutcomeToken, true)
		close(slow.released)
		for range 3 {
			<-hung
		}
	})
}

// If WorkOS does not answer requests, the circuit opens before the first of them times out.
func TestCallsThatHangCountAsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, slow := steppedClock(), newBlocking()
		var answers atomic.Bool
		u := workos.New(workos.Options{Clock: clock, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if answers.Load() {
				return respond(http.StatusOK, goodBody), nil
			}
			return slow.RoundTrip(r)
		})})
		client := connect(t, u, "a/a", baseURL, testKey, 6000)
		hung := make(chan workos.Answer)
		for n := range 5 {
			go func() { hung <- askAs(t, client, user(n), proven("a")) }()
		}
		synctest.Wait()
		step(clock, 1900*time.Millisecond)
		answers.Store(true)
		expectOutcome(t, askAs(t, client, user(9), proven("a")), workos.OutcomeToken, true)
		step(clock, 200*time.Millisecond)
		expectOutcome(t, askAs(t, client, user(10), proven("a")), workos.OutcomeUnavailable, false)
		close(slow.released)
		for range 5 {
			expectOutcome(t, <-hung, workos.OutcomeToken, true)
		}
		expectOutcome(t, askAs(t, client, user(11), proven("a")), workos.OutcomeToken, true)
	})
}

// An integration that fails does not affect other integrations or other base URLs.
func TestCircuitIsOfOneIntegration(t *testing.T) {
	s, u := scriptedUpstream()
	client, elsewhere := connect(t, u, "a/a", baseURL, testKey, 6000), connect(t, u, "b/b", staging, testKey, 6000)
	down(t, s, client, "a")
	s.next = always(http.StatusOK, goodBody)
	expect(t, askAs(t, client, workos.Request{Slug: "slack", UserID: "user_alice"}, proven("a")), workos.OutcomeToken, true, 0)
	expect(t, askAs(t, elsewhere, alice, proven("a")), workos.OutcomeToken, true, 0)
	if _, troubled := client.Trouble(); !troubled {
		t.Error("the one that fails is not reported")
	}
	if trouble, troubled := elsewhere.Trouble(); troubled {
		t.Errorf("got %+v of another base URL", trouble)
	}
}

// A rejected key ends an outage, because WorkOS answers.
func TestRejectedKeyEndsAnOutage(t *testing.T) {
	s, u := scriptedUpstream()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	down(t, s, client, "a")
	step(s.clock, 2*time.Second)
	s.next = always(401, "")
	expect(t, askAs(t, client, alice, proven("a")), workos.OutcomeKeyRejected, true, 30*time.Second)
	if trouble, troubled := client.Trouble(); troubled {
		t.Errorf("got %+v", trouble)
	}
}

// recovered collects the calls of the function that OnRecovery sets.
func recovered(u *workos.Upstream) *[]string {
	told := &[]string{}
	u.OnRecovery(func(owner string, of workos.Request) { *told = append(*told, owner+" "+of.Slug) })
	return told
}

func TestEverybodyIsCalledBackWhenTheIntegrationIsAnsweredAgain(t *testing.T) {
	s, u := scriptedUpstream()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	connect(t, u, "same/key", baseURL, testKey, 6000)
	connect(t, u, "other/base", staging, testKey, 6000)
	connect(t, u, "other/key", baseURL, testKey+"2", 6000)
	told := recovered(u)
	down(t, s, client, "a")
	held := askAs(t, client, alice, proven("a"))
	if held.Sent || held.Epoch != client.Epoch() || len(*told) != 0 {
		t.Fatalf("got %+v, epoch %d, called back %v", held, client.Epoch(), *told)
	}
	step(s.clock, 2*time.Second)
	s.next = always(http.StatusOK, goodBody)
	expectOutcome(t, askAs(t, client, user(9), proven("a")), workos.OutcomeToken, true)
	if want := []string{"a/a github", "same/key github"}; !slices.Equal(*told, want) || client.Epoch() == held.Epoch {
		t.Errorf("called back %v, want %v; epoch %d, then %d", *told, want, held.Epoch, client.Epoch())
	}
	askAs(t, client, alice, proven("a"))
	if len(*told) != 2 {
		t.Errorf("called back again: %v", *told)
	}
}

func TestEverybodyIsCalledBackWhenAGateOpens(t *testing.T) {
	s, u := scriptedUpstream()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	connect(t, u, "other/base", staging, testKey, 6000)
	told := recovered(u)
	s.next = always(429, "", "Retry-After", "10")
	ask(t, client, alice)
	held := ask(t, client, user(1))
	step(s.clock, 10*time.Second)
	s.next = always(http.StatusOK, goodBody)
	expectOutcome(t, ask(t, client, alice), workos.OutcomeToken, true)
	if want := []string{"a/a ", "other/base "}; !slices.Equal(*told, want) || client.Epoch() == held.Epoch {
		t.Errorf("called back %v, want %v", *told, want)
	}
}

// All callers are told the time until which WorkOS asked to wait. It stays the same for as long
// as the wait lasts.
func TestLongRetryAfterIsToldWithItsTime(t *testing.T) {
	for name, test := range map[string]struct {
		header, outcome string
		status          int
		want            time.Time
		troubled        bool
	}{
		"429 for an hour":    {"3600", "rate_limited", 429, epoch.Add(time.Hour), true},
		"429 out of reason":  {"1000000000", "rate_limited", 429, epoch.Add(time.Hour), true},
		"429 for a moment":   {"10", "rate_limited", 429, time.Time{}, true},
		"503 for 5 minutes":  {"300", "unavailable", 503, epoch.Add(5 * time.Minute), true},
		"a key for a moment": {"3600", "key_rejected", 401, time.Time{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, u := scriptedUpstream()
			client := connect(t, u, "a/a", baseURL, testKey, 6000)
			s.next = always(test.status, "", "Retry-After", test.header)
			answers := []workos.Answer{ask(t, client, alice)}
			for n := range 3 {
				step(s.clock, 700*time.Millisecond)
				answers = append(answers, ask(t, client, user(n)))
			}
			for _, answer := range answers {
				if string(answer.Outcome) != test.outcome || !answer.Until.Equal(test.want) {
					t.Errorf("got %s until %s", answer.Outcome, answer.Until)
				}
			}
			trouble, troubled := client.Trouble()
			if troubled != test.troubled || !trouble.Until.Equal(test.want) || troubled && string(trouble.Outcome) != test.outcome {
				t.Errorf("got %+v, %v", trouble, troubled)
			}
		})
	}
}

// Many calls under way that all get a 429 slow the pace down once.
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
