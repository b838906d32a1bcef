package workossim_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

func TestFaultsThatAnswerInWorkOSsPlace(t *testing.T) {
	const html = "<!DOCTYPE html>"
	tests := map[string]struct {
		fault      workossim.Fault
		status     int
		body       string // the beginning of the body
		retryAfter string
	}{
		"400":                          {workossim.Fault{Kind: workossim.FaultStatus, Status: 400}, 400, `{"message":"Bad Request"}`, ""},
		"401 without a body":           {workossim.Fault{Kind: workossim.FaultStatus, Status: 401}, 401, "", ""},
		"403":                          {workossim.Fault{Kind: workossim.FaultStatus, Status: 403}, 403, `{"message":"Forbidden"}`, ""},
		"404":                          {workossim.Fault{Kind: workossim.FaultStatus, Status: 404}, 404, `{"message":"Not Found"}`, ""},
		"409":                          {workossim.Fault{Kind: workossim.FaultAccountSelection}, 409, `{"message":"Several connected accounts match; an account has to be selected.","code":"account_selection_required"}`, ""},
		"422 of the account":           {workossim.Fault{Kind: workossim.FaultAuthMethodMismatch}, 422, `{"message":"The connected account does not use OAuth.","code":"auth_method_mismatch"}`, ""},
		"422 of the request":           {workossim.Fault{Kind: workossim.FaultValidation}, 422, `{"message":"Validation failed.","errors":[{"code":"invalid","field":"user_id"}]}`, ""},
		"429 without Retry-After":      {workossim.Fault{Kind: workossim.FaultRateLimited}, 429, `{"message":"Rate limit exceeded.","code":"rate_limit_exceeded"}`, ""},
		"429 with seconds":             {workossim.Fault{Kind: workossim.FaultRateLimited, RetryAfter: "30"}, 429, `{"message":`, "30"},
		"429 with a date":              {workossim.Fault{Kind: workossim.FaultRateLimited, RetryAfterDate: 90 * time.Second}, 429, `{"message":`, "Mon, 23 Nov 2026 13:01:30 GMT"},
		"429 with nonsense":            {workossim.Fault{Kind: workossim.FaultRateLimited, RetryAfter: "soon"}, 429, `{"message":`, "soon"},
		"429 by its status":            {workossim.Fault{Kind: workossim.FaultStatus, Status: 429}, 429, `{"message":"Rate limit exceeded.","code":"rate_limit_exceeded"}`, ""},
		"500":                          {workossim.Fault{Kind: workossim.FaultServerError}, 500, html, ""},
		"503 with Retry-After":         {workossim.Fault{Kind: workossim.FaultServerError, Status: 503, RetryAfter: "5"}, 503, html, "5"},
		"a status nobody has heard of": {workossim.Fault{Kind: workossim.FaultStatus, Status: 499}, 499, `{"message":"Error"}`, ""},
		"a body of the test's":         {workossim.Fault{Kind: workossim.FaultStatus, Status: 200, Body: "OK"}, 200, "OK", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, workossim.Connection{ID: alice, AlwaysFresh: true})
			h.sim.Inject(test.fault)
			got := h.call(alice)
			wholly := got.Body == test.body || (strings.HasSuffix(test.body, ":") || test.body == html) && strings.HasPrefix(got.Body, test.body)
			if got.Status != test.status || !wholly {
				t.Errorf("got %d %s\nwant %d %s", got.Status, got.Body, test.status, test.body)
			}
			if retryAfter := got.Header.Get("Retry-After"); retryAfter != test.retryAfter {
				t.Errorf("got Retry-After %q, want %q", retryAfter, test.retryAfter)
			}
			if got.Header.Get("X-Request-ID") == "" {
				t.Error("got no X-Request-ID")
			}
			if isHTML := strings.HasPrefix(got.Header.Get("Content-Type"), "text/html"); isHTML != (test.body == html) {
				t.Errorf("got content type %q", got.Header.Get("Content-Type"))
			}
			h.wantResults(string(test.fault.Kind))
			h.sim.ClearFaults()
			h.token(alice)
			if serial := h.sim.Requests()[1].TokenSerial; serial != 2 {
				t.Errorf("the fault has used up a token: the next is %d", serial)
			}
		})
	}
}

func TestFaultsThatSpoilAnAnswer(t *testing.T) {
	const canary = "gho_canary_github_1_daf6525caac3c24a"
	tests := map[workossim.FaultKind]struct {
		body   string
		serial int
	}{
		workossim.FaultMalformedJSON: {`{"active":true,"access_token":{"object":"access_token","access_token":"` + canary + `","expires_at":null,"scopes":[],"missing_scopes":[]},]`, 1},
		workossim.FaultUnknownError:  {`{"active":false,"error":"provider_under_maintenance"}`, 0},
		workossim.FaultExtraFields: {`{"active":true,"access_token":{"object":"access_token","access_token":"` + canary + `","expires_at":null,"scopes":[],"missing_scopes":[],` +
			`"x_future_field":"unknown"},"x_future_object":{"kind":"unknown","items":["one","two"]}}`, 1},
		workossim.FaultNoToken:    {`{"active":true}`, 0},
		workossim.FaultEmptyToken: {`{"active":true,"access_token":{"object":"access_token","access_token":"","expires_at":null,"scopes":[],"missing_scopes":[]}}`, 0},
		workossim.FaultControlCharacters: {`{"active":true,"access_token":{"object":"access_token","access_token":"` + canary + `\r\nX-Injected: 1\u0000\u001b[31m",` +
			`"expires_at":null,"scopes":[],"missing_scopes":[]}}`, 1},
		workossim.FaultActiveWithError: {`{"active":true,"access_token":{"object":"access_token","access_token":"` + canary + `","expires_at":null,"scopes":[],"missing_scopes":[]},` +
			`"error":"needs_reauthorization"}`, 1},
		workossim.FaultExpiredToken: {`{"active":true,"access_token":{"object":"access_token","access_token":"` + canary + `","expires_at":"2026-11-23T12:00:00.000Z",` +
			`"scopes":[],"missing_scopes":[]}}`, 1},
	}
	for kind, test := range tests {
		t.Run(string(kind), func(t *testing.T) {
			h := newHarness(t, workossim.Connection{ID: alice, NoExpiry: true, TokenPrefix: "gho_"})
			h.sim.Inject(workossim.Fault{Kind: kind})
			got := h.call(alice)
			if got.Status != 200 || got.Body != test.body {
				t.Errorf("got %d %s\nwant 200 %s", got.Status, got.Body, test.body)
			}
			if valid := kind != workossim.FaultMalformedJSON; json.Valid([]byte(got.Body)) != valid {
				t.Errorf("valid JSON: %t, want %t", !valid, valid)
			}
			request := h.sim.Requests()[0]
			if request.Result != string(kind) || request.TokenSerial != test.serial {
				t.Errorf("recorded %s with token %d, want token %d", request.Result, request.TokenSerial, test.serial)
			}
		})
	}
}

func TestNoTokenIsRecordedForAnAnswerThatHasLostIt(t *testing.T) {
	for kind, held := range map[workossim.FaultKind]bool{
		workossim.FaultNoToken: false, workossim.FaultEmptyToken: false, workossim.FaultUnknownError: false,
		workossim.FaultMalformedJSON: true, workossim.FaultExpiredToken: true,
	} {
		t.Run(string(kind), func(t *testing.T) {
			h := newHarness(t, workossim.Connection{ID: alice})
			h.sim.Inject(workossim.Fault{Kind: kind})
			h.call(alice)
			var serial int
			var expires time.Time
			if held {
				serial, expires = 1, start.Add(workossim.DefaultLifetime)
			}
			if got := h.sim.Requests()[0]; got.TokenSerial != serial || !got.TokenExpiresAt.Equal(expires) {
				t.Errorf("recorded token %d until %s, want token %d until %s", got.TokenSerial, got.TokenExpiresAt, serial, expires)
			}
		})
	}
}

func TestSpoiledAnswersAreRefreshedAllTheSame(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice, Lifetime: time.Minute})
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultTruncatedJSON, Times: 1})
	h.step(time.Minute)
	h.call(alice)
	h.step(time.Second)
	if _, expires := h.token(alice); !expires.Equal(start.Add(2 * time.Minute)) {
		t.Errorf("got a token until %s, want the one that the spoiled answer held", expires)
	}
}

func TestSpoilingFaultsLeaveOtherAnswersAlone(t *testing.T) {
	tests := map[string]struct {
		kind    workossim.FaultKind
		arrange func(*workossim.Simulator)
		status  int
		body    string
	}{
		"no token, of one who is not connected": {
			workossim.FaultNoToken, func(s *workossim.Simulator) { s.SetState(alice, workossim.NotInstalled) },
			200, `{"active":false,"error":"not_installed"}`,
		},
		"malformed, of one with a wrong key": {
			workossim.FaultMalformedJSON, func(s *workossim.Simulator) { s.SetAPIKeys("sk_other") }, 401, "",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, workossim.Connection{ID: alice})
			test.arrange(h.sim)
			h.sim.Inject(workossim.Fault{Kind: test.kind, Times: 1})
			if got := h.call(alice); got.Status != test.status || got.Body != test.body {
				t.Errorf("got %d %s", got.Status, got.Body)
			}
			h.sim.SetAPIKeys(apiKey)
			h.sim.SetState(alice, workossim.Connected)
			h.call(alice) // the fault was not used up
			if got := h.sim.Requests()[1].Result; got != string(test.kind) {
				t.Errorf("then got %s, want %s", got, test.kind)
			}
		})
	}
}

func TestAnAnswerWithoutATokenCanBeMalformedToo(t *testing.T) {
	h := newHarness(t)
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultMalformedJSON})
	if got := h.call(alice); got.Status != 404 { // github is unknown here
		t.Errorf("got %d %s", got.Status, got.Body)
	}
	h.sim.SetState(alice, workossim.NotInstalled)
	if got := h.call(alice); got.Body != `{"active":false,"error":"not_installed",]` {
		t.Errorf("got %s", got.Body)
	}
}

func TestTheFirstFaultThatMatchesBefalls(t *testing.T) {
	slack := workossim.ID{Slug: "slack", UserID: "user_alice"}
	h := newHarness(t, workossim.Connection{ID: alice}, workossim.Connection{ID: bob}, workossim.Connection{ID: slack})
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultServerError, Times: 2})
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultRateLimited, Match: &bob, Times: 1})
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultNoToken, Match: &workossim.ID{Slug: "github"}})
	for _, id := range []workossim.ID{alice, bob, bob, bob, alice, slack} {
		h.call(id)
	}
	h.sim.ClearFaults()
	h.call(alice)
	h.wantResults("server_error", "server_error", "rate_limited", "no_token", "no_token", "token", "token")
}

func TestLatencyAndDateComeOnTop(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultDateOffset, DateOffset: -time.Hour, Times: 3})
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultRateLimited, Times: 1})
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultLatency, Latency: time.Nanosecond})
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultServerError, Times: 1, DateOffset: -time.Minute})
	for _, want := range []struct {
		status int
		date   string
	}{
		{429, "Mon, 23 Nov 2026 12:00:00 GMT"},
		{500, "Mon, 23 Nov 2026 11:59:00 GMT"},
		{200, "Mon, 23 Nov 2026 12:00:00 GMT"},
		{200, "Mon, 23 Nov 2026 13:00:00 GMT"},
	} {
		if got := h.call(alice); got.Status != want.status || got.Header.Get("Date") != want.date {
			t.Errorf("got %d at %s, want %d at %s", got.Status, got.Header.Get("Date"), want.status, want.date)
		}
	}
	h.wantResults("rate_limited", "server_error", "token", "token")
}

func TestStrayRequestsUseUpNoFault(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultServerError, Times: 1})
	stray := h.request(alice)
	stray.Method = http.MethodGet
	h.do(stray)
	h.call(alice)
	h.wantResults("method_not_allowed", "server_error")
}

func TestInjectSharesNoMemoryWithTheCaller(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	match := bob
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultServerError, Match: &match})
	match = alice
	h.token(alice)
}

func TestFaultsThatMakeNoSenseAreRefused(t *testing.T) {
	tests := map[string]workossim.Fault{
		`kind "oops" is not a fault: use one of account_selection_required, active_with_error, auth_method_mismatch, ` +
			`connection_reset, control_characters, date_offset, empty_token, endless_body, expired_token, extra_fields, ` +
			`latency, malformed_json, no_token, rate_limited, server_error, status, timeout, truncated_json, ` +
			`unknown_error, validation_failed`: {Kind: "oops"},
		"match: name a slug, or leave match out to match every call":                                          {Kind: workossim.FaultTimeout, Match: &workossim.ID{UserID: "u"}},
		"match: name a userID beside the organizationID":                                                      {Kind: workossim.FaultTimeout, Match: &workossim.ID{Slug: "s", OrganizationID: "o"}},
		"match: leave it out, because calls of this endpoint name no slug":                                    {Kind: workossim.FaultTimeout, Match: &alice, Endpoint: workossim.EndpointEvents},
		"endpoint: use one of token, credentials, authorize, events, connected_accounts, data_providers, any": {Kind: workossim.FaultTimeout, Endpoint: "x"},
		"times: use 0 (until cleared) or more":                                                                {Kind: workossim.FaultTimeout, Times: -1},
		"latency: use 0 or more":                                                                              {Kind: workossim.FaultTimeout, Latency: -1},
		"status: use 200 to 599":                                                                              {Kind: workossim.FaultStatus, Status: 100},
		"status: the fault status needs one, 200 to 599":                                                      {Kind: workossim.FaultStatus},
		"retryAfter, retryAfterDate: use one of the two":                                                      {Kind: workossim.FaultRateLimited, RetryAfter: "1", RetryAfterDate: 1},
		"latency: the fault latency needs a duration":                                                         {Kind: workossim.FaultLatency},
		"dateOffset: the fault date_offset needs a duration":                                                  {Kind: workossim.FaultDateOffset},
		"status, body, retryAfter, retryAfterDate: the fault timeout has no use for them":                     {Kind: workossim.FaultTimeout, Status: 504},
	}
	for want, fault := range tests {
		t.Run(want, func(t *testing.T) {
			if err := fault.Validate(); err == nil || err.Error() != want {
				t.Errorf("got %v", err)
			}
			defer func() {
				if recover() == nil {
					t.Error("Inject did not panic")
				}
			}()
			workossim.New(workossim.Options{}).Inject(fault)
		})
	}
}
