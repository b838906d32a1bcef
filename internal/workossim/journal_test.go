package workossim_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

func TestARequestIsRecordedWhole(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: bob})
	h.step(time.Minute)
	answer := h.call(bob)
	want := workossim.Request{
		Time: start.Add(time.Minute), ID: bob, Endpoint: "token", Key: workossim.Fingerprint(apiKey), Status: 200, Result: "token", TokenSerial: 1,
		TokenExpiresAt: start.Add(workossim.DefaultLifetime), UserAgent: "harness/1", RequestID: answer.Header.Get("X-Request-ID"), Proto: "HTTP/1.1",
	}
	if got := h.sim.Requests(); len(got) != 1 || got[0] != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestRequestsForIsThoseOfExactlyOneConnection(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice}, workossim.Connection{ID: bob})
	for _, id := range []workossim.ID{alice, bob, alice} {
		h.call(id)
	}
	all := h.sim.Requests()
	if got := h.sim.RequestsFor(alice); !slices.Equal(got, []workossim.Request{all[0], all[2]}) {
		t.Errorf("got %+v", got)
	}
	if got := h.sim.RequestsFor(workossim.ID{Slug: "github", UserID: "user_bob"}); got != nil {
		t.Errorf("got %+v for somebody who never asked", got)
	}
	all[0].Result = "changed" // in the copy of the caller only
	if h.sim.Requests()[0].Result != "token" {
		t.Error("Requests shares its memory")
	}
	h.sim.ResetRequests()
	if len(h.sim.Requests()) != 0 || len(h.sim.RequestsFor(alice)) != 0 {
		t.Error("requests are left after ResetRequests")
	}
	h.call(bob)
	if got := h.sim.RequestsFor(bob); len(got) != 1 || got[0].RequestID == all[0].RequestID {
		t.Errorf("got %+v after ResetRequests", got)
	}
}

func TestNeitherKeysNorTokensAreLoggedOrRecorded(t *testing.T) {
	var log bytes.Buffer
	clock := clocktesting.NewFakePassiveClock(start)
	sim := workossim.New(workossim.Options{
		Clock: clock, APIKeys: []string{apiKey}, Connections: []workossim.Connection{{ID: alice}},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	h := serve(t, sim, clock)
	h.token(alice)
	h.sim.SetAPIKeys("sk_other")
	h.call(alice)
	printed := fmt.Sprintf("%s %+v", log.String(), sim.Requests())
	if !strings.Contains(printed, "TokenSerial:1") {
		t.Errorf("requests do not print whole: %s", printed)
	}
	if strings.Contains(printed, apiKey) || strings.Contains(printed, workossim.DefaultTokenMarker) {
		t.Errorf("found a key or a token in %s", printed)
	}
	if !strings.Contains(log.String(), "slug=github user=user_alice organization=\"\" key="+workossim.Fingerprint(apiKey)+" status=200 result=token tokenSerial=1") {
		t.Errorf("got the log %s", log.String())
	}
}

func TestAFingerprintIsShortAndOfTheKeyOnly(t *testing.T) {
	if got := workossim.Fingerprint(apiKey); len(got) != 8 || got == workossim.Fingerprint("sk_other") {
		t.Errorf("got %q", got)
	}
	if got := workossim.Fingerprint(""); got != "" {
		t.Errorf("got %q for no key", got)
	}
}

func TestAllMethodsMayBeCalledAtOnce(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice, AlwaysFresh: true})
	work := []func(){
		func() {
			if response, err := h.server.Client().Do(h.request(alice)); err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		},
		func() { h.sim.Put(workossim.Connection{ID: alice, AlwaysFresh: true}) },
		func() { h.sim.SetState(alice, workossim.NotInstalled) },
		func() { h.sim.SetState(alice, workossim.Connected) },
		func() { h.sim.Expire(alice) },
		func() { h.sim.Remove(alice) },
		func() { h.sim.CurrentToken(alice) },
		func() { h.sim.Available(alice, start) },
		func() { h.sim.Inject(workossim.Fault{Kind: workossim.FaultServerError, Times: 1}) },
		func() { h.sim.ClearFaults() },
		func() { h.sim.SetAPIKeys(apiKey) },
		func() { h.sim.Requests() },
		func() { h.sim.RequestsFor(alice) },
		func() { h.sim.ResetRequests() },
		func() { h.sim.RotateKey(alice) },
		func() { h.sim.SetMembers("org_1", "user_alice") },
		func() {
			h.sim.Emit(workossim.Event{Type: workossim.EventConnected, Connection: alice, Delay: time.Second})
		},
		func() { h.sim.Events() },
		func() { h.sim.EventRequests() },
		func() { h.sim.LoseEvents(1) },
		func() { h.sim.DelayEvents(time.Second) },
		func() { h.sim.ForgetEvents() },
		func() { h.sim.ForbidEvents(true) },
		func() { h.sim.KnowEventFamilies(workossim.FamilyConnectedAccount) },
		func() { h.step(time.Second) },
	}
	var group sync.WaitGroup
	for _, act := range work {
		group.Go(func() {
			for range 20 {
				act()
			}
		})
	}
	group.Wait()
}

func TestConcurrentCallersSeeTheJournalsOrder(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice, AlwaysFresh: true})
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() { h.call(alice) })
	}
	group.Wait()
	for i, request := range h.sim.RequestsFor(alice) {
		if request.TokenSerial != i+2 {
			t.Fatalf("request %d got token %d", i, request.TokenSerial)
		}
	}
}
