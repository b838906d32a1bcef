package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// github returns a server for alice and its journal.
func github(t *testing.T) (http.Handler, *bytes.Buffer) {
	t.Helper()
	backend, err := newBackend(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	journal := &bytes.Buffer{}
	return newServer(alice, backend, journal).handler(), journal
}

func TestTheServerAnswersAndJournalsWhatItGets(t *testing.T) {
	const refs = "https://github.com/example/private.git/info/refs?service=git-upload-pack"
	const profile = "https://api.github.com/user"
	right, wrong := workossim.TokenValue(alice, 2), workossim.TokenValue(bob, 2)
	for name, test := range map[string]struct {
		url, header string
		want        Request
		body        string // expected part of the body
	}{
		"git":                     {refs, basic("x-access-token", right), Request{Scheme: "Basic", Serial: 2, Status: 200}, "refs/heads/main"},
		"git, no token yet":       {refs, "", Request{Status: 401}, "no token"},
		"git, a wrong token":      {refs, basic("x-access-token", wrong), Request{Scheme: "Basic", Status: 401}, "no token"},
		"git, a wrong scheme":     {refs, "Bearer " + right, Request{Scheme: "Bearer", Serial: 2, Status: 401}, "as Basic"},
		"git, another repository": {"https://github.com/example/other.git/info/refs", basic("x-access-token", right), Request{Scheme: "Basic", Serial: 2, Status: 404}, ""},
		"API, Bearer":             {profile, "Bearer " + right, Request{Scheme: "Bearer", Serial: 2, Status: 200}, "alice"},
		"API, token":              {profile, "token " + right, Request{Scheme: "token", Serial: 2, Status: 200}, "alice"},
		"API, a wrong token":      {profile, "Bearer " + wrong, Request{Scheme: "Bearer", Status: 401}, "no token"},
		"API, a wrong scheme":     {profile, basic("x-access-token", right), Request{Scheme: "Basic", Serial: 2, Status: 401}, "as Bearer"},
		"API, no token":           {profile, "", Request{Status: 401}, "no token"},
		"API, another path":       {profile + "s", "Bearer " + right, Request{Scheme: "Bearer", Serial: 2, Status: 404}, ""},
		"another host":            {"https://example.com/", basic("x-access-token", right), Request{Scheme: "Basic", Serial: 2, Status: 404}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			handler, journal := github(t)
			request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, test.url, nil)
			request.Header.Set("User-Agent", "test")
			if test.header != "" {
				request.Header.Set("Authorization", test.header)
			}
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			if answer.Code != test.want.Status || !strings.Contains(answer.Body.String(), test.body) {
				t.Errorf("answered %d %q, want %d and %q in it", answer.Code, answer.Body, test.want.Status, test.body)
			}
			if strings.Contains(journal.String(), "canary") {
				t.Errorf("the journal has the token: %s", journal)
			}
			var seen Request
			if err := json.Unmarshal(journal.Bytes(), &seen); err != nil {
				t.Fatal(err)
			}
			if since := time.Since(seen.At); since < 0 || since > time.Minute {
				t.Errorf("it came %s ago", since)
			}
			test.want.At, test.want.Host, test.want.Path, test.want.UserAgent = seen.At, request.Host, request.URL.Path, "test"
			if seen != test.want {
				t.Errorf("journaled %+v, want %+v", seen, test.want)
			}
		})
	}
}

func TestWhetherTheServerIsThereIsNoSecret(t *testing.T) {
	handler, journal := github(t)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://10.0.0.1/healthz", nil))
	if answer.Code != http.StatusOK || journal.Len() > 0 {
		t.Errorf("answered %d, and journaled %q", answer.Code, journal)
	}
}

var (
	alice = workossim.Connection{ID: workossim.ID{Slug: "github", UserID: "user_alice", OrganizationID: "org_1"}, TokenPrefix: "gho_"}
	bob   = workossim.Connection{ID: workossim.ID{Slug: "github", UserID: "user_bob", OrganizationID: "org_1"}, TokenPrefix: "gho_"}
)

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestATokenIsRightOnlyIfAllOfItIs(t *testing.T) {
	right := workossim.TokenValue(alice, 7)
	for name, test := range map[string]struct {
		header, scheme string
		serial         int
	}{
		"Bearer":                       {"Bearer " + right, "Bearer", 7},
		"token":                        {"token " + right, "token", 7},
		"Basic":                        {basic("x-access-token", right), "Basic", 7},
		"Basic, another user":          {basic("alice", right), "Basic", 0},
		"Basic, the token as the user": {basic(right, ""), "Basic", 0},
		"Basic, not in base64":         {"Basic x-access-token:" + right, "Basic", 0},
		"no header":                    {"", "", 0},
		"no token":                     {"Bearer ", "Bearer", 0},
		"no scheme":                    {right, "other", 0},
		"another scheme":               {"bearer " + right, "other", 0},
		"two spaces":                   {"Bearer  " + right, "Bearer", 0},
		"another user's token":         {"Bearer " + workossim.TokenValue(bob, 7), "Bearer", 0},
		"one byte less":                {"Bearer " + right[:len(right)-1], "Bearer", 0},
		"one byte more":                {"Bearer " + right + "0", "Bearer", 0},
		"a line more":                  {"Bearer " + right + "\n", "Bearer", 0},
		"another byte at the end":      {"Bearer " + right[:len(right)-1] + "g", "Bearer", 0},
		"another prefix":               {"Bearer " + strings.Replace(right, "gho_", "ghp_", 1), "Bearer", 0},
		"another serial":               {"Bearer " + strings.Replace(right, "_7_", "_8_", 1), "Bearer", 0},
		"the serial written otherwise": {"Bearer " + strings.Replace(right, "_7_", "_07_", 1), "Bearer", 0},
		"a serial below the first":     {"Bearer " + workossim.TokenValue(alice, 0), "Bearer", 0},
		"something else":               {"Bearer secret", "Bearer", 0},
	} {
		t.Run(name, func(t *testing.T) {
			if scheme, serial := judge(test.header, alice); scheme != test.scheme || serial != test.serial {
				t.Errorf("got %q and %d, want %q and %d", scheme, serial, test.scheme, test.serial)
			}
		})
	}
}
