package workos_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// blocking is a transport that counts requests and answers none of them before released is closed.
// Tests use it in a synctest bubble, where synctest.Wait returns once all goroutines wait.
type blocking struct {
	requests, cancelled atomic.Int32
	released            chan struct{}
}

func newBlocking() *blocking { return &blocking{released: make(chan struct{})} }

func (b *blocking) RoundTrip(r *http.Request) (*http.Response, error) {
	b.requests.Add(1)
	select {
	case <-b.released:
		return respond(http.StatusOK, goodBody), nil
	case <-r.Context().Done():
		b.cancelled.Add(1)
		return nil, r.Context().Err()
	}
}

func TestIdenticalCallsInFlightShareOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := newBlocking()
		u := workos.New(workos.Options{Transport: transport})
		// The budget has room for one request.
		client := connect(t, u, "pipes-system/default", baseURL, testKey, 1)
		same := connect(t, u, "pipes-system/same", baseURL+"/", testKey, 1)
		answers := make([]workos.Answer, 10)
		var calls sync.WaitGroup
		for n := range answers {
			calls.Go(func() { answers[n] = ask(t, []*workos.Client{client, same}[n%2], alice) })
		}
		synctest.Wait()
		close(transport.released)
		calls.Wait()
		for _, answer := range answers {
			expect(t, answer, workos.OutcomeToken, true, 0)
		}
		if got := transport.requests.Load(); got != 1 {
			t.Errorf("got %d requests, want 1", got)
		}
		answers[0].Token.Scopes[0] = "changed"
		if !slices.Equal(answers[1].Token.Scopes, []string{"repo", "user:email"}) {
			t.Error("sharers see each other's changes")
		}
		expect(t, ask(t, client, alice), workos.OutcomeHeld, false, time.Minute+time.Second/2)
	})
}

// WorkOS may have answered the call of another asker before the refresh was asked for.
func TestARefreshDoesNotJoinTheCallOfSomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := newBlocking()
		client := connectOnly(t, workos.Options{Transport: transport}, baseURL)
		refresh := workos.Turn{Share: "a", Asker: "y", Refresh: true}
		var calls sync.WaitGroup
		calls.Go(func() { askAs(t, client, alice, workos.Turn{Share: "b", Asker: "x"}) })
		synctest.Wait()
		expect(t, askAs(t, client, alice, refresh), workos.OutcomeHeld, false, time.Second)
		calls.Go(func() {
			expectOutcome(t, askAs(t, client, alice, workos.Turn{Share: "a", Asker: "z"}), workos.OutcomeToken, true)
		})
		synctest.Wait()
		close(transport.released)
		calls.Wait()
		expectOutcome(t, askAs(t, client, alice, refresh), workos.OutcomeToken, true)
		if got := transport.requests.Load(); got != 2 {
			t.Errorf("got %d requests, want 2", got)
		}
	})
}

func TestDifferentCallsDoNotShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := newBlocking()
		u := workos.New(workos.Options{Transport: transport})
		client := connect(t, u, "a/a", baseURL, testKey, 6000)
		other := alice
		other.UserID = "user_bob"
		personal := alice
		personal.OrganizationID = ""
		slack := alice
		slack.Slug = "slack"
		confusing := workos.Request{Slug: "github", UserID: `user_alice" "org_acme`}
		var calls sync.WaitGroup
		for _, r := range []workos.Request{alice, other, personal, slack, confusing} {
			calls.Go(func() { ask(t, client, r) })
		}
		calls.Go(func() { ask(t, connect(t, u, "b/b", baseURL, testKey+"2", 6000), alice) })
		calls.Go(func() { ask(t, connect(t, u, "c/c", "https://api.workos-test.com", testKey, 6000), alice) })
		synctest.Wait()
		if got := transport.requests.Load(); got != 7 {
			t.Errorf("got %d requests, want 7", got)
		}
		close(transport.released)
		calls.Wait()
	})
}

func TestCallsThatDoNotOverlapDoNotShare(t *testing.T) {
	requests := 0
	transport := roundTrip(func(*http.Request) (*http.Response, error) {
		requests++
		return respond(http.StatusOK, goodBody), nil
	})
	client := connectOnly(t, workos.Options{Transport: transport}, baseURL)
	for range 3 {
		ask(t, client, alice)
	}
	if requests != 3 {
		t.Errorf("got %d requests, want 3", requests)
	}
}

func TestCallerWhoseContextEndsLeavesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := newBlocking()
		client := connectOnly(t, workos.Options{Transport: transport}, baseURL)
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		calls.Go(func() {
			if answer, err := client.Token(ctx, alice, workos.Turn{}); !errors.Is(err, context.Canceled) {
				t.Errorf("got %+v, %v", answer, err)
			}
		})
		synctest.Wait()
		calls.Go(func() { expect(t, ask(t, client, alice), workos.OutcomeToken, true, 0) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(transport.released)
		calls.Wait()
		if requests, cancelled := transport.requests.Load(), transport.cancelled.Load(); requests != 1 || cancelled != 0 {
			t.Errorf("got %d requests, %d of them cancelled", requests, cancelled)
		}
	})
}

func TestContextThatHasEndedSendsNothing(t *testing.T) {
	transport := newBlocking()
	client := connectOnly(t, workos.Options{Transport: transport}, baseURL)
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	if answer, err := client.Token(ctx, alice, workos.Turn{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %+v, %v", answer, err)
	}
	if got := transport.requests.Load(); got != 0 {
		t.Errorf("got %d requests", got)
	}
}

func TestCallWithoutAnAnswerEndsAfterFifteenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := newBlocking()
		client := connectOnly(t, workos.Options{Transport: transport}, baseURL)
		begin := time.Now()
		answer := ask(t, client, alice)
		expect(t, answer, workos.OutcomeUnavailable, true, 0)
		if took := time.Since(begin); took != 15*time.Second || answer.Message != "timed out" {
			t.Errorf("got %q after %v", answer.Message, took)
		}
	})
}

func TestPanicOfTheTransportIsAnErrorOfThatCallAlone(t *testing.T) {
	calls := 0
	var nobody *http.Response
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		switch calls++; calls {
		case 1:
			panic(r) // holds the key
		case 2:
			return respond(nobody.StatusCode, ""), nil
		}
		return respond(http.StatusOK, goodBody), nil
	})
	client := connectOnly(t, workos.Options{Transport: transport}, baseURL)
	for _, want := range []string{"recovered from a panic with a *http.Request", "nil pointer dereference"} {
		answer, err := client.Token(t.Context(), alice, workos.Turn{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), testKey) {
			t.Errorf("got %+v, %v", answer, err)
		}
	}
	expect(t, ask(t, client, alice), workos.OutcomeToken, true, 0)
}
