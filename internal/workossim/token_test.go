package workossim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

func TestWhenACallGetsANewerToken(t *testing.T) {
	const second = time.Second
	tests := map[string]struct {
		connection workossim.Connection
		calls      []timedCall
	}{
		"only after expiry by default": {workossim.Connection{Lifetime: 60 * second}, []timedCall{{0, 1}, {59 * second, 1}, {60 * second, 2}, {119 * second, 2}, {120 * second, 3}}},
		"an hour by default":           {workossim.Connection{}, []timedCall{{0, 1}, {time.Hour - 1, 1}, {time.Hour, 2}}},
		"from the lead on":             {workossim.Connection{Lifetime: 60 * second, RefreshLead: 10 * second}, []timedCall{{0, 1}, {49 * second, 1}, {50 * second, 2}, {99 * second, 2}, {100 * second, 3}}},
		"always fresh":                 {workossim.Connection{AlwaysFresh: true}, []timedCall{{0, 2}, {0, 3}, {second, 4}}},
		"never without an expiry":      {workossim.Connection{NoExpiry: true}, []timedCall{{0, 1}, {10000 * time.Hour, 1}}},
		"no call, no refresh":          {workossim.Connection{Lifetime: 60 * second}, []timedCall{{time.Hour, 2}, {time.Hour + 59*second, 2}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.connection.ID = alice
			h := newHarness(t, test.connection)
			for _, c := range test.calls {
				h.clock.SetTime(start.Add(c.after))
				value, expires := h.token(alice)
				requests := h.sim.RequestsFor(alice)
				if got := requests[len(requests)-1].TokenSerial; got != c.serial {
					t.Errorf("after %s: got token %d, want %d", c.after, got, c.serial)
				}
				current, currentExpires, ok := h.sim.CurrentToken(alice)
				if !ok || current != value || !currentExpires.Equal(expires) {
					t.Errorf("after %s: CurrentToken is %q %s %t, the answer had %q %s", c.after, current, currentExpires, ok, value, expires)
				}
			}
		})
	}
}

// timedCall is a call some time after the start, and the serial of the token that it gets.
type timedCall struct {
	after  time.Duration
	serial int
}

func TestTokensAreRecognisableAndTheSameOnEveryRun(t *testing.T) {
	connection := workossim.Connection{ID: alice, TokenPrefix: "gho_"}
	first, _ := newHarness(t, connection).token(alice)
	second, _ := newHarness(t, connection).token(alice)
	if first != second {
		t.Errorf("got %q and %q", first, second)
	}
	if !strings.HasPrefix(first, "gho_"+workossim.DefaultTokenMarker+"github_1_") {
		t.Errorf("got %q", first)
	}
	if want := workossim.TokenValue(connection, 1); first != want {
		t.Errorf("got %q, and TokenValue is %q", first, want)
	}
	marked := workossim.New(workossim.Options{TokenMarker: "leaked!", Connections: []workossim.Connection{connection}})
	if value, _, _ := marked.CurrentToken(alice); !strings.HasPrefix(value, "gho_leaked!github_1_") {
		t.Errorf("got %q", value)
	}
}

func TestNoTokenComesTwice(t *testing.T) {
	h := newHarness(t)
	seen := map[string]bool{}
	look := func(id workossim.ID) {
		t.Helper()
		value, _ := h.token(id)
		if seen[value] {
			t.Errorf("%q came before", value)
		}
		seen[value] = true
	}
	for _, id := range []workossim.ID{
		alice, bob, {Slug: "github", UserID: "user_alice", OrganizationID: "org_1"}, {Slug: "slack", UserID: "user_alice"},
	} {
		h.sim.Put(workossim.Connection{ID: id})
		look(id)
		h.sim.Put(workossim.Connection{ID: id}) // replaced
		look(id)
		h.sim.Expire(id)
		look(id)
		h.sim.Remove(id)
		h.sim.SetState(id, workossim.Connected) // connected again
		look(id)
	}
}

func TestDisconnectingTakesTheTokenAndConnectingBringsANewOne(t *testing.T) {
	for _, state := range []workossim.State{workossim.NotInstalled, workossim.NeedsReauthorization, "paused"} {
		t.Run(string(state), func(t *testing.T) {
			h := newHarness(t, workossim.Connection{ID: alice, Lifetime: time.Minute})
			before, _ := h.token(alice)
			h.sim.SetState(alice, workossim.Connected) // no change
			if same, _ := h.token(alice); same != before {
				t.Errorf("got another token, %q", same)
			}
			h.sim.SetState(alice, state)
			if got := h.call(alice); got.Body != `{"active":false,"error":"`+string(state)+`"}` {
				t.Errorf("got %s", got.Body)
			}
			if _, _, ok := h.sim.CurrentToken(alice); ok {
				t.Error("there is a token still")
			}
			h.step(time.Second)
			h.sim.SetState(alice, workossim.Connected)
			after, expires := h.token(alice)
			if after == before || !expires.Equal(start.Add(time.Second+time.Minute)) {
				t.Errorf("got %q until %s after %q", after, expires, before)
			}
			h.wantResults("token", "token", string(state), "token")
		})
	}
}

func TestSetStateCreatesAConnection(t *testing.T) {
	h := newHarness(t)
	h.sim.SetState(alice, "")
	if _, expires := h.token(alice); !expires.Equal(start.Add(workossim.DefaultLifetime)) {
		t.Errorf("got a token until %s", expires)
	}
}

func TestExpireMakesTheNextCallRefresh(t *testing.T) {
	for name, connection := range map[string]workossim.Connection{
		"with expiry":    {ID: alice},
		"without expiry": {ID: alice, NoExpiry: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, connection)
			before, _ := h.token(alice)
			h.step(time.Minute)
			if !h.sim.Expire(alice) {
				t.Fatal("there was nothing to expire")
			}
			current, expires, ok := h.sim.CurrentToken(alice)
			if current != before || !expires.Equal(start.Add(time.Minute)) || !ok {
				t.Errorf("CurrentToken is %q %s %t", current, expires, ok)
			}
			if after, _ := h.token(alice); after == before {
				t.Error("the call did not refresh")
			}
		})
	}
	h := newHarness(t, workossim.Connection{ID: alice, State: workossim.NotInstalled})
	if h.sim.Expire(alice) || h.sim.Expire(bob) {
		t.Error("expired a token that does not exist")
	}
}

func TestRemoveForgetsTheConnectionAndKeepsTheSlug(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	if !h.sim.Remove(alice) || h.sim.Remove(alice) {
		t.Error("Remove does not say whether the connection existed")
	}
	if got := h.call(alice); got.Body != `{"active":false,"error":"not_installed"}` {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
	if _, _, ok := h.sim.CurrentToken(alice); ok {
		t.Error("there is a token still")
	}
}

func TestKeysCanBeRotated(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	h.sim.SetAPIKeys("sk_new", "")
	if got := h.call(alice); got.Status != 401 {
		t.Errorf("the old key is answered %d", got.Status)
	}
	r := h.request(alice)
	r.Header.Set("Authorization", "Bearer sk_new")
	if got := h.do(r); got.Status != 200 {
		t.Errorf("the new key is answered %d", got.Status)
	}
	requests := h.sim.Requests()
	if requests[0].Key != workossim.Fingerprint(apiKey) || requests[1].Key != workossim.Fingerprint("sk_new") {
		t.Errorf("recorded the keys %q and %q", requests[0].Key, requests[1].Key)
	}
}

func TestExpiresAtIsInMilliseconds(t *testing.T) {
	h := newHarness(t)
	h.clock.SetTime(start.Add(123456789 * time.Nanosecond))
	h.sim.Put(workossim.Connection{ID: alice})
	if got := h.call(alice).Body; !strings.Contains(got, `"expires_at":"2026-11-23T14:00:00.123Z"`) {
		t.Errorf("got %s", got)
	}
}

func TestPutSharesNoMemoryWithTheCaller(t *testing.T) {
	scopes := []string{"repo"}
	h := newHarness(t, workossim.Connection{ID: alice, Scopes: scopes})
	scopes[0] = "changed"
	if got := h.call(alice).Body; !strings.Contains(got, `"scopes":["repo"]`) {
		t.Errorf("got %s", got)
	}
}
