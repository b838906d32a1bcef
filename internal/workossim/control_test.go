package workossim_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// control sends a request to a control endpoint.
func (h *harness) control(method, name, body string) reply {
	h.Helper()
	r, err := http.NewRequestWithContext(h.Context(), method, h.server.URL+workossim.ControlPrefix+name, strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	return h.do(r)
}

func (h *harness) wantControl(method, name, body string, status int, want string) {
	h.Helper()
	got := h.control(method, name, body)
	if got.Status != status || strings.TrimSpace(got.Body) != want {
		h.Errorf("%s %s %s: got %d %s\nwant %d %s", method, name, body, got.Status, got.Body, status, want)
	}
}

func TestControlOfConnections(t *testing.T) {
	h := newHarness(t)
	h.wantControl("GET", "healthz", "", 204, "")
	h.wantControl("POST", "connections", `{"slug":"github","userID":"user_bob","organizationID":"org_1","lifetime":"45s"}`, 200,
		`{"slug":"github","userID":"user_bob","organizationID":"org_1","state":"connected","tokenSerial":1,"expiresAt":"2026-11-23T13:00:45Z"}`)
	h.token(bob)
	h.wantControl("POST", "state", `{"slug":"github","userID":"user_bob","organizationID":"org_1","state":"needs_reauthorization"}`, 200,
		`{"slug":"github","userID":"user_bob","organizationID":"org_1","state":"needs_reauthorization"}`)
	h.call(bob)
	h.wantControl("POST", "state", `{"slug":"github","userID":"user_alice","state":"connected"}`, 200,
		`{"slug":"github","userID":"user_alice","state":"connected","tokenSerial":1,"expiresAt":"2026-11-23T14:00:00Z"}`)
	h.wantControl("POST", "expire", `{"slug":"github","userID":"user_alice"}`, 200,
		`{"slug":"github","userID":"user_alice","state":"connected","tokenSerial":1,"expiresAt":"2026-11-23T13:00:00Z"}`)
	h.token(alice)
	h.wantControl("GET", "connections", "", 200,
		`{"connections":[{"slug":"github","userID":"user_alice","state":"connected","tokenSerial":2,"expiresAt":"2026-11-23T14:00:00Z"},`+
			`{"slug":"github","userID":"user_bob","organizationID":"org_1","state":"needs_reauthorization"}]}`)
	h.wantControl("DELETE", "connections", `{"slug":"github","userID":"user_alice"}`, 204, "")
	h.wantControl("DELETE", "connections", `{"slug":"github","userID":"user_alice"}`, 404,
		`{"error":"there is no connection github/user_alice: see GET /_simulator/connections"}`)
	h.call(alice)
	h.wantResults("token", "needs_reauthorization", "token", "not_installed")
}

func TestControlOfFaults(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	h.wantControl("POST", "faults", `{"kind":"rate_limited","retryAfterDate":"1m30s","times":1}`, 204, "")
	h.wantControl("POST", "faults", `{"kind":"no_token","match":{"slug":"github","userID":"user_alice"},"latency":"1ns","dateOffset":"-1h"}`, 204, "")
	if got := h.call(alice).Header.Get("Retry-After"); got != "Mon, 23 Nov 2026 13:01:30 GMT" {
		t.Errorf("got Retry-After %q", got)
	}
	if got := h.call(alice).Header.Get("Date"); got != "Mon, 23 Nov 2026 12:00:00 GMT" {
		t.Errorf("got Date %q", got)
	}
	h.wantControl("DELETE", "faults", "", 204, "")
	h.call(alice)
	h.wantResults("rate_limited", "no_token", "token")
}

func TestControlOfRequests(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	h.wantControl("GET", "requests", "", 200, `{"total":0,"counts":[],"requests":[]}`)
	h.call(alice)
	h.call(alice)
	h.sim.SetState(alice, workossim.NotInstalled)
	h.call(alice)
	var got struct {
		Total  int
		Counts []struct {
			workossim.ID
			Total   int
			Results map[string]int
		}
		Requests []workossim.Request
	}
	if err := json.Unmarshal([]byte(h.control("GET", "requests", "").Body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Total != 3 || len(got.Counts) != 1 || len(got.Requests) != 3 {
		t.Fatalf("got %+v", got)
	}
	counts := got.Counts[0]
	if counts.ID != alice || counts.Total != 3 || counts.Results["token"] != 2 || counts.Results["not_installed"] != 1 {
		t.Errorf("got %+v", counts)
	}
	if want := h.sim.Requests()[0]; got.Requests[0] != want {
		t.Errorf("got %+v, want %+v", got.Requests[0], want)
	}
	h.wantControl("DELETE", "requests", "", 204, "")
	h.wantControl("GET", "requests", "", 200, `{"total":0,"counts":[],"requests":[]}`)
}

func TestControlOfTheJournal(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: bob})
	const header = "time,slug,userID,organizationID,status,result,tokenSerial,tokenExpiresAt"
	h.wantControl("GET", "total", "", 200, `{"total":0}`)
	h.wantControl("GET", "journal", "", 200, header)
	h.call(bob)
	h.step(1500 * time.Millisecond)
	h.call(workossim.ID{Slug: "github", UserID: `user,"x"`})
	h.wantControl("GET", "total", "", 200, `{"total":2}`)
	h.wantControl("GET", "journal", "", 200, header+`
2026-11-23T13:00:00Z,github,user_bob,org_1,200,token,1,2026-11-23T14:00:00Z
2026-11-23T13:00:01.5Z,github,"user,""x""",,200,not_installed,0,`)
}

func TestControlOfKeys(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	h.wantControl("POST", "api-keys", `{"apiKeys":["sk_other"]}`, 204, "")
	h.call(alice)
	h.wantControl("POST", "api-keys", `{"apiKeys":["sk_other","`+apiKey+`"]}`, 204, "")
	h.call(alice)
	h.wantControl("POST", "api-keys", `{"apiKeys":[]}`, 204, "")
	h.call(alice)
	h.wantResults("unauthorized", "token", "unauthorized")
}

func TestControlRefusesWhatItDoesNotUnderstand(t *testing.T) {
	tests := []struct {
		method, name, body string
		status             int
		want               string // part of the error
	}{
		{"POST", "connections", `{"slug":"github","userID":"a","lifespan":"1h"}`, 400, `unknown field \"lifespan\"`},
		{"POST", "connections", `{"slug":"github","slug":"slack","userID":"a"}`, 400, `duplicate field \"slug\"`},
		{"POST", "connections", `{"slug":"github","userID":"a","lifetime":"long"}`, 400, `lifetime: \"long\" is not a duration`},
		{"POST", "connections", `{`, 400, `unexpected end of JSON input`},
		{"POST", "connections", ``, 400, `slug: \"\" is not a slug`},
		{"POST", "state", `{"slug":"github","userID":"a"}`, 400, `state: use connected, not_installed, needs_reauthorization or any other text`},
		{"POST", "state", `{"userID":"a","state":"connected"}`, 400, `slug: \"\" is not a slug`},
		{"POST", "state", `{"slug":"github","userID":"a","states":"connected"}`, 400, `unknown field \"states\"`},
		{"POST", "expire", `{"slug":"github","userID":"a"}`, 404, `github/a holds no token: connect it first`},
		{"POST", "faults", `{"kind":"oops"}`, 400, `kind \"oops\" is not a fault: use one of `},
		{"POST", "faults", `{"kind":"timeout","match":{"slugs":"github"}}`, 400, `unknown field \"match.slugs\"`},
		{"POST", "faults", `{"kind":"latency","latency":3}`, 400, `latency: 3 is not a duration`},
		{"POST", "faults", `{"kind":"timeout","endpoint":"webhooks"}`, 400, `endpoint: use one of token, credentials, authorize, events, `},
		{"POST", "connections", `{"slug":"github","owner":"organization"}`, 400, `organizationID: name the organization that owns the connection`},
		{"POST", "connections", `{"slug":"github","owner":"team","userID":"a"}`, 400, `owner: \"team\" is not an owner: use user or organization`},
		{"POST", "rotate", `{"slug":"github","userID":"a"}`, 404, `github/a is not connected: connect it first`},
		{"POST", "members", `{"organizationID":"org_1"}`, 400, `organizationID, userIDs: give both`},
		{"POST", "events", `{}`, 400, `type: name the type, such as pipes.connected_account.connected`},
		{"POST", "events", `{"type":"a","delay":"-1s"}`, 400, `delay: \"-1s\" is negative`},
		{"POST", "event-rules", `{"lose":-1}`, 400, `lose: use 0 or more`},
		{"POST", "event-rules", `{"knownFamilies":["pipes."]}`, 400, `knownFamilies[0]: \"pipes.\" is not a family`},
		{"POST", "api-keys", `{}`, 400, `apiKeys: give a list of keys`},
		{"POST", "api-keys", `{"apiKeys":[" sk_secret"]}`, 400, `apiKeys[0]: use a key that`},
		{"PUT", "state", `{}`, 404, `no PUT /_simulator/state: use one of DELETE connections, DELETE events, DELETE faults, DELETE requests, GET connections, ` +
			`GET event-requests, GET events, GET healthz, GET journal, GET requests, GET total, POST api-keys, POST connections, POST event-rules, ` +
			`POST events, POST expire, POST faults, POST members, POST rotate, POST state, under /_simulator/`},
		{"GET", "nonsense", ``, 404, `no GET /_simulator/nonsense`},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.name+" "+test.body, func(t *testing.T) {
			h := newHarness(t)
			got := h.control(test.method, test.name, test.body)
			if got.Status != test.status || !strings.Contains(got.Body, test.want) {
				t.Errorf("got %d %s\nwant %d with %s", got.Status, got.Body, test.status, test.want)
			}
			if strings.Contains(got.Body, "sk_secret") {
				t.Errorf("the error gives a key away: %s", got.Body)
			}
			h.wantResults() // control requests are not recorded, and changed nothing
		})
	}
}

func TestTheSimulatorAloneHasNoControl(t *testing.T) {
	recorder := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, workossim.ControlPrefix+"healthz", http.NoBody)
	workossim.New(workossim.Options{}).ServeHTTP(recorder, request)
	if got := recorder.Body.String(); recorder.Code != 404 || got != `{"message":"Not Found"}` {
		t.Errorf("got %d %s", recorder.Code, got)
	}
}
