package workos_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

const basicTypes = "pipes.connected_account.connected,pipes.connected_account.disconnected," +
	"pipes.connected_account.reauthorization_needed,pipes.connected_account.connection_failed"

const newerTypes = ",pipes.account_connection.connected,pipes.account_connection.disconnected," +
	"pipes.account_connection.reauthorization_needed,pipes.account_connection.connection_failed,pipes.account_connection.add_failed"

func event(id, kind, data string) string {
	return fmt.Sprintf(`{"object":"event","id":%q,"event":%q,"created_at":"2026-11-23T13:00:00.250Z","data":%s}`, id, kind, data)
}

func page(after string, events ...string) string {
	return `{"object":"list","data":[` + strings.Join(events, ",") + `],"list_metadata":{"after":` + after + `}}`
}

func askEvents(t *testing.T, c *workos.Client, query workos.EventsQuery) workos.EventsAnswer {
	t.Helper()
	answer, err := c.Events(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestEventsRequestIsWhatWorkOSDocuments(t *testing.T) {
	since := time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)
	for name, test := range map[string]struct {
		query workos.EventsQuery
		want  map[string]string
	}{
		"first":              {workos.EventsQuery{Since: since}, map[string]string{"events": basicTypes + newerTypes, "range_start": "2026-11-23T12:00:00.123Z"}},
		"later":              {workos.EventsQuery{Since: since, After: "event_1"}, map[string]string{"events": basicTypes + newerTypes, "after": "event_1"}},
		"an old environment": {workos.EventsQuery{After: "event_1", Basic: true}, map[string]string{"events": basicTypes, "after": "event_1"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.want["order"], test.want["limit"] = "asc", "100"
			transport := roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.Method != http.MethodGet || r.URL.Path != "/prefix/events" || r.Header.Get("Authorization") != "Bearer "+testKey {
					t.Errorf("got %s %s with %q", r.Method, r.URL.Path, r.Header.Get("Authorization"))
				}
				query := r.URL.Query()
				for name, want := range test.want {
					if got := query.Get(name); got != want {
						t.Errorf("%s: got %q, want %q", name, got, want)
					}
				}
				if len(query) != len(test.want) {
					t.Errorf("got %v", query)
				}
				return respond(http.StatusOK, page("null")), nil
			})
			got := askEvents(t, connectOnly(t, workos.Options{Transport: transport}, baseURL+"/prefix/"), test.query)
			if got.Outcome != workos.OutcomeEvents || !got.Sent || got.More || got.Last != "" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestEventsThatCannotBeReadAreLeftOut(t *testing.T) {
	const data = `{"provider_slug":"github","user_id":"user_1","organization_id":null}`
	body := page(`"event_9"`,
		event("event_1", "pipes.connected_account.connected", data),
		event("event_2", "pipes.account_connection.disconnected", `{"provider_slug":"github","user_id":null,"organization_id":"org_1"}`),
		event("event_3", "pipes.account_connection.add_failed", data),
		event("event_4", "user.created", data),
		event("event_5", "pipes.connected_account.connected", `{"provider_slug":"..","user_id":"user_1"}`),
		event("event_6", "pipes.connected_account.connected", `{"provider_slug":"github"}`),
		event("event_7", "pipes.connected_account.connected", `[]`),
		event("not an ID", "pipes.connected_account.connected", data),
		strings.Replace(event("event_8", "pipes.connected_account.connected", data), "2026-11-23T13:00:00.250Z", "soon", 1),
		`7`,
		event("event_9", "pipes.connected_account.connected", `{"provider_slug":"`+strings.Repeat("a", 129)+`","user_id":"user_1"}`),
	)
	got := askEvents(t, connectOnly(t, workos.Options{Transport: always(http.StatusOK, body)}, baseURL), workos.EventsQuery{})
	at := time.Date(2026, 11, 23, 13, 0, 0, 250e6, time.UTC)
	want := []workos.Event{
		{ID: "event_1", Kind: workos.EventConnected, CreatedAt: at, Slug: "github", UserID: "user_1"},
		{ID: "event_2", Kind: workos.EventDisconnected, CreatedAt: at, Slug: "github", OrganizationID: "org_1"},
		{ID: "event_3", Kind: workos.EventOther, CreatedAt: at, Slug: "github", UserID: "user_1"},
		{ID: "event_4", Kind: workos.EventOther, CreatedAt: at, Slug: "github", UserID: "user_1"},
	}
	if !slices.Equal(got.Events, want) || got.Last != "event_9" || !got.More {
		t.Errorf("got %+v, last %q, more %v", got.Events, got.Last, got.More)
	}
}

func TestAnswersThatAreNoEvents(t *testing.T) {
	for name, test := range map[string]struct {
		response
		outcome       workos.Outcome
		misunderstood bool
	}{
		"no list":          {response{200, `{"data":{}}`}, workos.OutcomeUnreadable, false},
		"no JSON":          {response{200, `<html>`}, workos.OutcomeUnreadable, false},
		"no IDs":           {response{200, page("null", `{}`)}, workos.OutcomeUnreadable, false},
		"an unknown type":  {response{422, `{"code":"unknown_event_type","message":"no"}`}, workos.OutcomeRejected, true},
		"an old cursor":    {response{400, `{"message":"after is unknown"}`}, workos.OutcomeRejected, true},
		"no right":         {response{403, `{"message":"no"}`}, workos.OutcomeForbidden, false},
		"no such endpoint": {response{404, `{"message":"no"}`}, workos.OutcomeNotFound, false},
		"a wrong key":      {response{401, ``}, workos.OutcomeKeyRejected, false},
		"an outage":        {response{503, ``}, workos.OutcomeUnavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := askEvents(t, connectOnly(t, workos.Options{Transport: always(test.status, test.body)}, baseURL), workos.EventsQuery{})
			if got.Outcome != test.outcome || got.Misunderstood != test.misunderstood || got.Events != nil || got.Message == "" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A poll passes the same gates as a call for a token, closes them, and takes from the same budget.
// But a poll that fails opens no circuit.
func TestPollsShareTheGatesAndTheBudget(t *testing.T) {
	clock := steppedClock()
	poll := func() *http.Response { return respond(http.StatusTooManyRequests, "", "Retry-After", "7") }
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/events" {
			return poll(), nil
		}
		return respond(http.StatusOK, goodBody), nil
	})
	client := connectOnly(t, workos.Options{Transport: transport, Clock: clock}, baseURL)
	if got := askEvents(t, client, workos.EventsQuery{}); got.Outcome != workos.OutcomeRateLimited || !got.Sent {
		t.Fatalf("got %+v", got)
	}
	if got := ask(t, client, alice); got.Sent {
		t.Errorf("a token was asked for while WorkOS limits the rate: %+v", got)
	}
	if got := askEvents(t, client, workos.EventsQuery{}); got.Sent {
		t.Errorf("events were asked for while WorkOS limits the rate: %+v", got)
	}

	poll = func() *http.Response { return respond(http.StatusInternalServerError, "") }
	for range 100 {
		step(clock, time.Minute)
		if got := askEvents(t, client, workos.EventsQuery{}); got.Down {
			t.Fatal("a circuit is open for polls")
		}
	}
	if got := ask(t, client, alice); got.Outcome != workos.OutcomeToken {
		t.Errorf("polls that fail hold a token back: %+v", got)
	}
}

func TestPollsTakeFromTheBudget(t *testing.T) {
	clock := steppedClock()
	u := workos.New(workos.Options{Transport: always(http.StatusOK, page("null")), Clock: clock})
	client, err := u.Connect("pipes-system/default", baseURL, redact.NewString(testKey), 60)
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for range 200 {
		if askEvents(t, client, workos.EventsQuery{}).Sent {
			sent++
		}
	}
	if sent > 60 {
		t.Errorf("%d polls left at once, with a budget of 60 a minute", sent)
	}
}
