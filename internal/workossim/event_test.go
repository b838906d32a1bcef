package workossim_test

import (
	"encoding/json"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

const day = 24 * time.Hour

func TestEachChangeHasItsEvent(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: bob}) // was there before: no event
	h.sim.Put(workossim.Connection{ID: alice, Scopes: []string{"repo"}})
	h.sim.Put(workossim.Connection{ID: workossim.ID{Slug: "github", UserID: "user_dora"}, NoEvent: true})
	h.step(time.Minute)
	h.sim.SetState(alice, workossim.NeedsReauthorization)
	h.sim.SetState(alice, workossim.NeedsReauthorization) // no change
	h.sim.SetState(alice, workossim.Connected)
	h.sim.SetState(alice, "paused") // WorkOS has no event for it
	h.sim.SetState(bob, workossim.NeedsReauthorization)
	h.sim.Remove(bob)
	h.sim.Remove(bob)
	h.sim.SetState(alice, workossim.NotInstalled)
	h.sim.Put(workossim.Connection{ID: workossim.ID{Slug: "slack", UserID: "user_carol"}, State: workossim.NotInstalled})
	list := h.events()
	if got := list.kinds(); got != "connected alice, reauthorization_needed alice, connected alice, reauthorization_needed bob, disconnected bob, disconnected alice" {
		t.Errorf("got %s", got)
	}
	got, err := json.Marshal(list.Data[1])
	want := `{"id":"event_01000000000000000000000002","event":"pipes.connected_account.reauthorization_needed","data":{` +
		`"created_at":"2026-11-23T13:00:00.000Z","data_integration_id":"data_integration_01O2O117CK77F5FVHSU0TBTJ5S","id":"` + workossim.AccountID(alice) + `",` +
		`"object":"connected_account","organization_id":null,"provider_slug":"github","scopes":["repo"],"state":"needs_reauthorization",` +
		`"updated_at":"2026-11-23T13:01:00.000Z","user_id":"user_alice"},"created_at":"2026-11-23T13:01:00.000Z"}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	if state := list.Data[4].Data["state"]; state != "needs_reauthorization" {
		t.Errorf("bob was %v when he disconnected", state)
	}
	if list.ListMetadata.After != nil {
		t.Errorf("the end of the list has a cursor: %s", *list.ListMetadata.After)
	}
}

func TestEventsComeInPages(t *testing.T) {
	h := newHarness(t)
	for i := range 5 {
		h.sim.Put(workossim.Connection{ID: workossim.ID{Slug: "github", UserID: "user_" + strconv.Itoa(i)}})
	}
	first := h.events("limit", "2")
	if first.kinds() != "connected 0, connected 1" || first.ListMetadata.After == nil || *first.ListMetadata.After != first.Data[1].ID {
		t.Errorf("first page: %+v", first)
	}
	second := h.events("limit", "3", "after", first.Data[1].ID)
	if second.kinds() != "connected 2, connected 3, connected 4" || second.ListMetadata.After != nil {
		t.Errorf("second page: %+v", second)
	}
	if end := h.events("after", second.Data[2].ID); len(end.Data) != 0 || end.ListMetadata.After != nil {
		t.Errorf("after the end: %+v", end)
	}
	if got := h.events("order", "desc", "limit", "2", "after", second.Data[2].ID).kinds(); got != "connected 3, connected 2" {
		t.Errorf("descending: %s", got)
	}
	if got := h.events("order", "", "limit", "1").kinds(); got != "connected 4" {
		t.Errorf("without an order: %s", got)
	}
}

func TestWrongRequestsForEventsAreRefused(t *testing.T) {
	h := newHarness(t)
	h.sim.Put(workossim.Connection{ID: alice})
	id := h.sim.Events()[0].ID
	for _, test := range []struct {
		pairs       []string
		code, field string
	}{
		{[]string{"events", ""}, "required", "events"},
		{[]string{"order", "ascending"}, "invalid", "order"},
		{[]string{"limit", "0"}, "invalid", "limit"},
		{[]string{"limit", "101"}, "invalid", "limit"},
		{[]string{"limit", "ten"}, "invalid", "limit"},
		{[]string{"range_start", "yesterday"}, "invalid", "range_start"},
		{[]string{"range_start", "2026-11-23T13:00:00Z", "after", id}, "mutually_exclusive", "range_start"},
	} {
		h.want(h.poll(test.pairs...), 422, `{"message":"Validation failed.","errors":[{"code":"`+test.code+`","field":"`+test.field+`"}]}`)
	}
	h.want(h.poll("after", "event_01000000000000000000000009"), 400, `{"message":"The event of after was not found."}`)
	h.want(h.poll("after", ""), 200, h.poll().Body)
	h.sim.SetAPIKeys("sk_other")
	h.want(h.poll(), 401, "")
}

func TestATypeThatTheEnvironmentDoesNotKnowRefusesTheWholeRequest(t *testing.T) {
	both := typesOf(workossim.FamilyConnectedAccount, workossim.FamilyAccountConnection)
	h := newHarnessOf(t, workossim.Options{KnownEventFamilies: []workossim.EventFamily{workossim.FamilyConnectedAccount}})
	h.sim.Put(workossim.Connection{ID: alice})
	h.want(h.poll("events", both), 422, `{"message":"Unknown event type: pipes.account_connection.connected","code":"unknown_event_type",`+
		`"errors":[{"code":"unknown_event_type","field":"events"}]}`)
	if got := h.events().kinds(); got != "connected alice" {
		t.Errorf("got %s", got)
	}
	h.sim.KnowEventFamilies(workossim.FamilyConnectedAccount, workossim.FamilyAccountConnection)
	if got := h.events("events", both).kinds(); got != "connected alice" {
		t.Errorf("got %s", got)
	}
	if got := h.events("events", string(workossim.EventDisconnected)).kinds(); got != "" {
		t.Errorf("got %s, which was not asked for", got)
	}
}

func TestAChangeMayHaveAnEventInEachFamily(t *testing.T) {
	families := []workossim.EventFamily{workossim.FamilyConnectedAccount, workossim.FamilyAccountConnection}
	h := newHarnessOf(t, workossim.Options{EventFamilies: families})
	h.sim.Put(workossim.Connection{ID: alice})
	list := h.events("events", typesOf(families...))
	if len(list.Data) != 2 || list.Data[0].Event != "pipes.connected_account.connected" || list.Data[1].Event != "pipes.account_connection.connected" {
		t.Errorf("got %+v", list)
	}
}

func TestEventsAreKeptForNinetyDaysAndReadThirtyAtATime(t *testing.T) {
	h := newHarness(t)
	for _, user := range []string{"a", "b", "c"} {
		h.sim.Put(workossim.Connection{ID: workossim.ID{Slug: "github", UserID: user}})
		h.step(40 * day)
	}
	ids := h.sim.Events() // a is 120 days old, b 80, c 40
	if len(ids) != 2 {
		t.Fatalf("got %+v", ids)
	}
	if got := h.events("range_start", h.clock.Now().Add(-100*day).Format(time.RFC3339)).kinds(); got != "connected b" {
		t.Errorf("thirty days from the hundredth: %q", got)
	}
	if got := h.events("range_start", h.clock.Now().Add(-60*day).Format("2006-01-02")).kinds(); got != "connected c" {
		t.Errorf("thirty days from the sixtieth: %q", got)
	}
	if got := h.events().kinds(); got != "" {
		t.Errorf("the last thirty days: %q", got)
	}
	if got := h.events("after", ids[0].ID).kinds(); got != "connected c" {
		t.Errorf("after b: %q", got)
	}
	h.step(20 * day)
	h.want(h.poll("after", ids[0].ID), 400, `{"message":"The event of after was not found."}`)
}

func TestEventsCanBeForgedRepeatedAndOutOfOrder(t *testing.T) {
	h := newHarness(t)
	h.sim.Put(workossim.Connection{ID: alice})
	first := h.sim.Events()[0]
	h.sim.Emit(first)
	forged := workossim.Event{Type: workossim.EventConnected, Connection: workossim.ID{Slug: "unknown", UserID: "user_eve"}, CreatedAt: start.Add(time.Hour)}
	if id := h.sim.Emit(forged); id <= first.ID {
		t.Errorf("got the ID %s after %s", id, first.ID)
	}
	h.sim.Emit(workossim.Event{Type: workossim.EventDisconnected, Connection: bob, CreatedAt: start.Add(-time.Hour)})
	h.sim.Emit(workossim.Event{Type: workossim.EventConnectionFailed, Connection: bob, ErrorCode: "access_denied"})
	h.unconventional = true
	h.sim.Emit(workossim.Event{Type: workossim.EventReauthorizationNeeded, Data: json.RawMessage(`["no object"]`)})
	var list struct {
		Data []struct {
			ID        string          `json:"id"`
			Data      json.RawMessage `json:"data"`
			CreatedAt string          `json:"created_at"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(h.poll().Body), &list); err != nil || len(list.Data) != 6 {
		t.Fatalf("got %+v, %v", list, err)
	}
	if list.Data[1].ID != list.Data[0].ID || string(list.Data[1].Data) != string(list.Data[0].Data) {
		t.Errorf("the repetition differs: %+v", list.Data[:2])
	}
	if list.Data[2].CreatedAt != "2026-11-23T14:00:00.000Z" || list.Data[3].CreatedAt != "2026-11-23T12:00:00.000Z" {
		t.Errorf("got the times %s and %s", list.Data[2].CreatedAt, list.Data[3].CreatedAt)
	}
	if failed := string(list.Data[4].Data); !strings.Contains(failed, `"object":"connection_failed"`) || !strings.Contains(failed, `"error_code":"access_denied"`) {
		t.Errorf("got %s", failed)
	}
	if whole := string(list.Data[5].Data); whole != `["no object"]` {
		t.Errorf("got %s", whole)
	}
	if rest := h.events("range_start", start.Format(time.RFC3339Nano), "events", string(workossim.EventDisconnected)); len(rest.Data) != 0 {
		t.Errorf("an event before the range: %+v", rest)
	}
}

func TestEventsCanBeLateAndLost(t *testing.T) {
	h := newHarness(t)
	h.sim.DelayEvents(time.Minute)
	h.sim.SetState(alice, workossim.Connected)
	h.sim.DelayEvents(0)
	h.sim.LoseEvents(1)
	h.sim.SetState(alice, workossim.NeedsReauthorization)
	h.sim.SetState(bob, workossim.Connected)
	h.sim.Emit(workossim.Event{Type: workossim.EventConnected, Connection: workossim.ID{Slug: "github", UserID: "user_eve"}, Delay: 2 * time.Minute})
	before := h.events()
	if got := before.kinds(); got != "connected bob" {
		t.Errorf("at first: %s", got)
	}
	h.step(time.Minute)
	after := h.events("after", before.Data[0].ID)
	if got := after.kinds(); got != "connected alice" || after.Data[0].CreatedAt != before.Data[0].CreatedAt {
		t.Errorf("a minute later: %s at %s", got, after.Data[0].CreatedAt)
	}
	h.step(time.Minute)
	if got := h.events("after", after.Data[0].ID).kinds(); got != "connected eve" {
		t.Errorf("two minutes later: %s", got)
	}
	h.sim.ForgetEvents()
	h.want(h.poll("after", after.Data[0].ID), 400, `{"message":"The event of after was not found."}`)
}

func TestAKeyMayNotBeAllowedToReadEvents(t *testing.T) {
	h := newHarnessOf(t, workossim.Options{EventsForbidden: true})
	h.want(h.poll(), 403, `{"message":"The API key may not read events."}`)
	h.sim.ForbidEvents(false)
	h.events()
	requests := h.sim.EventRequests()
	if len(requests) != 2 || requests[0].Result != workossim.ResultForbidden || requests[1].Result != workossim.ResultEvents || !strings.Contains(requests[1].Query, "order=asc") {
		t.Errorf("recorded %+v", requests)
	}
	if got := h.sim.Requests(); len(got) != 0 {
		t.Errorf("polls are among the requests for tokens: %+v", got)
	}
}

func TestFaultsOfEvents(t *testing.T) {
	h := newHarness(t)
	h.sim.Put(workossim.Connection{ID: alice})
	whole := h.poll().Body
	inject := func(f workossim.Fault) {
		f.Endpoint, f.Times = workossim.EndpointEvents, 1
		h.sim.Inject(f)
	}
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultServerError}) // of the token endpoint only
	h.want(h.poll(), 200, whole)
	inject(workossim.Fault{Kind: workossim.FaultRateLimited, RetryAfter: "7"})
	if got := h.poll(); got.Status != 429 || got.Header.Get("Retry-After") != "7" {
		t.Errorf("got %d %v", got.Status, got.Header)
	}
	inject(workossim.Fault{Kind: workossim.FaultMalformedJSON})
	h.want(h.poll(), 200, strings.TrimSuffix(whole, "}")+",]")
	inject(workossim.Fault{Kind: workossim.FaultExtraFields})
	h.want(h.poll(), 200, `{"x_future_field":"unknown",`+strings.TrimPrefix(whole, "{"))
	inject(workossim.Fault{Kind: workossim.FaultStatus, Status: http.StatusServiceUnavailable, Body: `{"code":"concurrent_request","message":"Retry."}`})
	h.want(h.poll(), 503, `{"code":"concurrent_request","message":"Retry."}`)
	inject(workossim.Fault{Kind: workossim.FaultTruncatedJSON})
	if got := h.poll(); got.BodyErr == nil && got.Body == whole {
		t.Errorf("got the whole body")
	}
	inject(workossim.Fault{Kind: workossim.FaultNoToken}) // does not apply to events
	h.want(h.poll(), 200, whole)
}

// The limit is far above what a run needs (about 15 MB), and far below what one event in JSON
// costs.
func TestEventsOfManyConnectionsTakeLittleMemory(t *testing.T) {
	const many = 100_000
	ids := make([]workossim.ID, many)
	for i := range ids {
		ids[i] = workossim.ID{Slug: "github", UserID: "user_" + strconv.Itoa(i)}
	}
	heap := func(o workossim.Options) uint64 {
		sim := workossim.New(o)
		for _, id := range ids {
			sim.Put(workossim.Connection{ID: id})
		}
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		runtime.KeepAlive(sim)
		return stats.HeapAlloc
	}
	without := heap(workossim.Options{NoEvents: true})
	with := heap(workossim.Options{})
	if each := (int64(with) - int64(without)) / many; each > 250 {
		t.Errorf("an event takes %d bytes", each)
	} else {
		t.Logf("an event takes %d bytes", each)
	}
}
