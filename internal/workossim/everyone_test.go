package workossim_test

import (
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// crowd returns a simulator where everyone is connected at github, with tokens that live for a
// minute.
func crowd(t *testing.T) *harness {
	t.Helper()
	clock := clocktesting.NewFakePassiveClock(start)
	return serve(t, workossim.New(workossim.Options{
		Clock: clock, APIKeys: []string{apiKey}, UnknownUserNotFound: true,
		Everyone: []workossim.Connection{{ID: workossim.ID{Slug: "github"}, Lifetime: time.Minute, RefreshLead: 10 * time.Second}},
	}), clock)
}

func TestEveryoneIsIssuedATokenWithTheFirstCall(t *testing.T) {
	h := crowd(t)
	first, _ := h.token(alice)
	h.step(30 * time.Second)
	second, expires := h.token(bob)
	if first == second || !expires.Equal(start.Add(90*time.Second)) {
		t.Errorf("bob's token expires at %s, and is alice's: %t", expires, first == second)
	}
	if again, _ := h.token(alice); again != first {
		t.Error("alice has got another token, though hers is still good")
	}
	h.step(20 * time.Second)
	if renewed, _ := h.token(alice); renewed == first {
		t.Error("alice's token is not refreshed like that of any connection")
	}
}

func TestEveryoneIsAvailableBeforeTheFirstCall(t *testing.T) {
	h := crowd(t)
	if expires, ok := h.sim.Available(alice, start); !ok || !expires.Equal(start.Add(time.Minute)) {
		t.Errorf("got %t until %s", ok, expires)
	}
	if _, _, ok := h.sim.CurrentToken(alice); ok {
		t.Error("asking has issued a token")
	}
	if _, ok := h.sim.Available(workossim.ID{Slug: "slack", UserID: "user_alice"}, start); ok {
		t.Error("everyone is connected where nobody is")
	}
}

func TestOneOfEveryoneMayStillBeDisconnected(t *testing.T) {
	h := crowd(t)
	h.token(alice)
	h.sim.SetState(alice, workossim.NotInstalled)
	h.call(alice)
	h.sim.Remove(alice)
	h.token(alice)
	h.wantResults("token", "not_installed", "token")
}
