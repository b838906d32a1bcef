package workossim_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

func TestAnswersHaveTheDocumentedShapes(t *testing.T) {
	full := workossim.Connection{ID: alice, Scopes: []string{"repo"}, MissingScopes: []string{"user:email"}, TokenPrefix: "gho_"}
	aliceToken := "gho_canary_github_1_daf6525caac3c24a"
	tests := map[string]struct {
		connection workossim.Connection
		want       string
	}{
		"with a token": {full,
			`{"active":true,"access_token":{"object":"access_token","access_token":"` + aliceToken + `",` +
				`"expires_at":"2026-11-23T14:00:00.000Z","scopes":["repo"],"missing_scopes":["user:email"]}}`},
		"without expiry and scopes": {workossim.Connection{ID: alice, NoExpiry: true, TokenPrefix: "gho_"},
			`{"active":true,"access_token":{"object":"access_token","access_token":"` + aliceToken + `",` +
				`"expires_at":null,"scopes":[],"missing_scopes":[]}}`},
		"not installed": {workossim.Connection{ID: alice, State: workossim.NotInstalled},
			`{"active":false,"error":"not_installed"}`},
		"needs reauthorization": {workossim.Connection{ID: alice, State: workossim.NeedsReauthorization},
			`{"active":false,"error":"needs_reauthorization"}`},
		"any other state": {workossim.Connection{ID: alice, State: "paused_by_owner"},
			`{"active":false,"error":"paused_by_owner"}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, test.connection)
			got := h.call(alice)
			if got.Status != http.StatusOK || got.Body != test.want {
				t.Errorf("got %d %s\nwant 200 %s", got.Status, got.Body, test.want)
			}
			if contentType := got.Header.Get("Content-Type"); !strings.HasPrefix(contentType, "application/json") {
				t.Errorf("got content type %q", contentType)
			}
		})
	}
}

func TestWhatWorkOSRejectsIsRejected(t *testing.T) {
	const validation = `{"message":"Validation failed.","errors":[{"code":"%","field":"$"}]}`
	fieldError := func(code, field string) string {
		return strings.NewReplacer("%", code, "$", field).Replace(validation)
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	body := func(text string) func(*http.Request) {
		return func(r *http.Request) { setBody(r, text) }
	}
	path := func(escaped string) func(*http.Request) {
		return func(r *http.Request) { r.URL.Opaque = "//" + r.URL.Host + escaped }
	}
	const badJSON = `{"message":"The request body is not a JSON object."}`
	tests := map[string]struct {
		spoil  func(*http.Request)
		status int
		body   string
		result string
	}{
		"no key":                 {func(r *http.Request) { r.Header.Del("Authorization") }, 401, "", "unauthorized"},
		"another scheme":         {header("Authorization", "Basic "+apiKey), 401, "", "unauthorized"},
		"an unknown key":         {header("Authorization", "Bearer sk_other"), 401, "", "unauthorized"},
		"an empty key":           {header("Authorization", "Bearer "), 401, "", "unauthorized"},
		"no JSON":                {body("user_id=user_alice"), 400, badJSON, "bad_request"},
		"JSON but no object":     {body(`["user_alice"]`), 400, badJSON, "bad_request"},
		"null":                   {body(`null`), 400, badJSON, "bad_request"},
		"JSON and more":          {body(`{"user_id":"user_alice"} x`), 400, badJSON, "bad_request"},
		"too long a body":        {body(strings.Repeat(" ", 1<<20+1)), 400, `{"message":"The request body cannot be read."}`, "bad_request"},
		"another content type":   {header("Content-Type", "text/plain"), 400, `{"message":"The Content-Type must be application/json."}`, "bad_request"},
		"no user":                {body(`{}`), 422, fieldError("required", "user_id"), "invalid"},
		"an empty user":          {body(`{"user_id":""}`), 422, fieldError("invalid", "user_id"), "invalid"},
		"a user that is no text": {body(`{"user_id":7}`), 422, fieldError("invalid", "user_id"), "invalid"},
		"an empty organization":  {body(`{"user_id":"user_alice","organization_id":""}`), 422, fieldError("invalid", "organization_id"), "invalid"},
		"an unknown slug":        {path("/data-integrations/gitlab/token"), 404, `{"message":"The data integration was not found."}`, "unknown_slug"},
		"dots for a slug":        {path("/data-integrations/../token"), 404, `{"message":"The data integration was not found."}`, "unknown_slug"},
		"a slash in a slug":      {path("/data-integrations/git%2Fhub/token"), 404, `{"message":"The data integration was not found."}`, "unknown_slug"},
		"an unknown path":        {path("/data-integrations/github/tokens"), 404, `{"message":"Not Found"}`, "unknown_path"},
		"a path that is longer":  {path("/data-integrations/git/hub/token"), 404, `{"message":"Not Found"}`, "unknown_path"},
		"a path without a slug":  {path("/data-integrations//token"), 404, `{"message":"Not Found"}`, "unknown_path"},
		"another method":         {func(r *http.Request) { r.Method = http.MethodPut }, 405, `{"message":"Method Not Allowed"}`, "method_not_allowed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, workossim.Connection{ID: alice})
			r := h.request(alice)
			test.spoil(r)
			got := h.do(r)
			if got.Status != test.status || got.Body != test.body {
				t.Errorf("got %d %s\nwant %d %s", got.Status, got.Body, test.status, test.body)
			}
			h.wantResults(test.result)
			if _, _, ok := h.sim.CurrentToken(alice); !ok {
				t.Error("the connection has lost its token")
			}
		})
	}
}

func TestAnOrganizationThatIsNullIsNone(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	r := h.request(alice)
	setBody(r, `{"user_id":"user_alice","organization_id":null,"unknown":1}`)
	if got := h.do(r); !strings.Contains(got.Body, `"active":true`) {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
}

func TestWhoHasNoConnectionIsNotInstalled(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice}, workossim.Connection{ID: bob})
	for name, id := range map[string]workossim.ID{
		"another user":                      {Slug: "github", UserID: "user_carol"},
		"with an organization, without one": {Slug: "github", UserID: "user_bob"},
		"without one, with an organization": {Slug: "github", UserID: "user_alice", OrganizationID: "org_1"},
		"at an integration that exists":     {Slug: "linear", UserID: "user_alice"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := h.call(id); got.Status != 200 || got.Body != `{"active":false,"error":"not_installed"}` {
				t.Errorf("got %d %s", got.Status, got.Body)
			}
		})
	}
}

func TestTheEmulatorsWayIs404ForWhoeverNoConnectionNames(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(start)
	sim := workossim.New(workossim.Options{
		Clock: clock, APIKeys: []string{apiKey}, UnknownUserNotFound: true,
		Connections: []workossim.Connection{{ID: alice}, {ID: bob}},
	})
	h := serve(t, sim, clock)
	tests := map[string]struct {
		id     workossim.ID
		status int
		result string
	}{
		"a connection":                {bob, 200, "token"},
		"an unknown user":             {workossim.ID{Slug: "github", UserID: "user_carol"}, 404, "unknown_user"},
		"an unknown organization":     {workossim.ID{Slug: "github", UserID: "user_bob", OrganizationID: "org_2"}, 404, "unknown_user"},
		"known ones, not as a couple": {workossim.ID{Slug: "github", UserID: "user_alice", OrganizationID: "org_1"}, 200, "not_installed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h.sim.ResetRequests()
			if got := h.call(test.id); got.Status != test.status {
				t.Errorf("got %d %s, want %d", got.Status, got.Body, test.status)
			}
			requests := h.sim.RequestsFor(test.id)
			if len(requests) != 1 || requests[0].Result != test.result {
				t.Errorf("recorded %+v, want %s", requests, test.result)
			}
		})
	}
}

func TestEveryAnswerCarriesTheSimulatorsDateAndItsOwnRequestID(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	h.step(90 * time.Minute)
	stray := h.request(alice)
	stray.URL.Path = "/elsewhere"
	seen := map[string]bool{}
	for _, r := range []*http.Request{h.request(alice), h.request(bob), stray} {
		got := h.do(r)
		if date := got.Header.Get("Date"); date != "Mon, 23 Nov 2026 14:30:00 GMT" {
			t.Errorf("got Date %q", date)
		}
		id := got.Header.Get("X-Request-ID")
		if id == "" || seen[id] {
			t.Errorf("got X-Request-ID %q after %v", id, seen)
		}
		seen[id] = true
	}
	for _, request := range h.sim.Requests() {
		if !seen[request.RequestID] {
			t.Errorf("recorded %q, which no answer carried", request.RequestID)
		}
	}
}

func TestTheAuthorizationSchemeMayBeInAnyCase(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	r := h.request(alice)
	r.Header.Set("Authorization", "bearer "+apiKey)
	if got := h.do(r); got.Status != 200 {
		t.Errorf("got %d", got.Status)
	}
}
