package workossim_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// newHarnessOf is newHarness with options.
func newHarnessOf(t *testing.T, o workossim.Options) *harness {
	t.Helper()
	clock := clocktesting.NewFakePassiveClock(start)
	o.Clock, o.APIKeys = clock, []string{apiKey}
	return serve(t, workossim.New(o), clock)
}

// post calls an endpoint of an integration with a body.
func (h *harness) post(e workossim.Endpoint, slug, body string) reply {
	h.Helper()
	return h.exchange(http.MethodPost, "/data-integrations/"+slug+"/"+string(e), body)
}

func (h *harness) get(path string) reply {
	h.Helper()
	return h.exchange(http.MethodGet, path, "")
}

func (h *harness) exchange(method, path, body string) reply {
	h.Helper()
	r, err := http.NewRequestWithContext(h.Context(), method, h.server.URL+path, strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+apiKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return h.do(r)
}

func (h *harness) want(got reply, status int, body string) {
	h.Helper()
	if got.Status != status || got.Body != body {
		h.Errorf("got %d %s\nwant %d %s", got.Status, got.Body, status, body)
	}
}

// eventList is an answer of the events endpoint.
type eventList struct {
	Data []struct {
		ID        string         `json:"id"`
		Event     string         `json:"event"`
		Data      map[string]any `json:"data"`
		CreatedAt string         `json:"created_at"`
	} `json:"data"`
	ListMetadata struct {
		After *string `json:"after"`
	} `json:"list_metadata"`
}

// connectedAccountTypes are the types that every environment knows.
var connectedAccountTypes = typesOf(workossim.FamilyConnectedAccount)

func typesOf(families ...workossim.EventFamily) string {
	var names []string
	for _, t := range workossim.EventTypes(families...) {
		names = append(names, string(t))
	}
	return strings.Join(names, ",")
}

// poll asks for events in ascending order, with more parameters as pairs.
func (h *harness) poll(pairs ...string) reply {
	h.Helper()
	query := url.Values{"events": {connectedAccountTypes}, "order": {"asc"}}
	for pair := range slices.Chunk(pairs, 2) {
		query.Set(pair[0], pair[1])
	}
	return h.get("/events?" + query.Encode())
}

// events polls and expects a list.
func (h *harness) events(pairs ...string) eventList {
	h.Helper()
	got := h.poll(pairs...)
	var list eventList
	if err := json.Unmarshal([]byte(got.Body), &list); err != nil || got.Status != http.StatusOK {
		h.Fatalf("got %d %s, want events (%v)", got.Status, got.Body, err)
	}
	return list
}

// kinds returns what the events say, as "connected alice" for the user user_alice.
func (l eventList) kinds() string {
	var kinds []string
	for _, e := range l.Data {
		user, _ := e.Data["user_id"].(string)
		kinds = append(kinds, e.Event[strings.LastIndex(e.Event, ".")+1:]+" "+strings.TrimPrefix(user, "user_"))
	}
	return strings.Join(kinds, ", ")
}
