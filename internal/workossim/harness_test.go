package workossim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

const apiKey = "sk_test_harness"

var (
	start = time.Date(2026, 11, 23, 13, 0, 0, 0, time.UTC)
	alice = workossim.ID{Slug: "github", UserID: "user_alice"}
	bob   = workossim.ID{Slug: "github", UserID: "user_bob", OrganizationID: "org_1"}
)

// harness is a simulator behind a real server, with a clock that only the test moves.
type harness struct {
	*testing.T
	sim    *workossim.Simulator
	clock  *clocktesting.FakePassiveClock
	server *httptest.Server
	// unconventional allows answers that do not conform, because the test decides their content.
	unconventional bool
	// note is called with the schema of each answer, unless it is nil.
	note func(schema string)
}

func newHarness(t *testing.T, connections ...workossim.Connection) *harness {
	t.Helper()
	clock := clocktesting.NewFakePassiveClock(start)
	sim := workossim.New(workossim.Options{Clock: clock, APIKeys: []string{apiKey}, Slugs: []string{"linear"}, Connections: connections})
	return serve(t, sim, clock)
}

func serve(t *testing.T, sim *workossim.Simulator, clock *clocktesting.FakePassiveClock) *harness {
	t.Helper()
	server := httptest.NewServer(sim.WithControl())
	t.Cleanup(server.Close)
	t.Cleanup(sim.Close) // runs first: a server waits for requests that are held
	return &harness{T: t, sim: sim, clock: clock, server: server}
}

func (h *harness) step(d time.Duration) { h.clock.SetTime(h.clock.Now().Add(d)) }

// request returns a valid call for the connection. A test may change it.
func (h *harness) request(id workossim.ID) *http.Request {
	h.Helper()
	body := map[string]string{"user_id": id.UserID}
	if id.OrganizationID != "" {
		body["organization_id"] = id.OrganizationID
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		h.Fatal(err)
	}
	url := h.server.URL + "/data-integrations/" + id.Slug + "/token"
	r, err := http.NewRequestWithContext(h.Context(), http.MethodPost, url, bytes.NewReader(encoded))
	if err != nil {
		h.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+apiKey)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "harness/1")
	return r
}

func setBody(r *http.Request, body string) {
	r.Body, r.ContentLength, r.GetBody = io.NopCloser(strings.NewReader(body)), int64(len(body)), nil
}

// reply is an answer, read to its end.
type reply struct {
	Status int
	Header http.Header
	Body   string
	// BodyErr is the error that kept the body from being read to its end.
	BodyErr error
}

// try sends a request that may fail.
func (h *harness) try(r *http.Request) (reply, error) {
	response, err := h.server.Client().Do(r)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, bodyErr := io.ReadAll(response.Body)
	got := reply{Status: response.StatusCode, Header: response.Header, Body: string(body), BodyErr: bodyErr}
	if bodyErr == nil {
		h.checkConformance(got)
	}
	return got, nil
}

// do sends a request that must be answered.
func (h *harness) do(r *http.Request) reply {
	h.Helper()
	got, err := h.try(r)
	if err != nil {
		h.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return got
}

func (h *harness) call(id workossim.ID) reply {
	h.Helper()
	return h.do(h.request(id))
}

// tokenReply is the documented answer with a token.
type tokenReply struct {
	Active      bool   `json:"active"`
	Error       string `json:"error"`
	AccessToken struct {
		Object        string   `json:"object"`
		AccessToken   string   `json:"access_token"`
		ExpiresAt     *string  `json:"expires_at"`
		Scopes        []string `json:"scopes"`
		MissingScopes []string `json:"missing_scopes"`
	} `json:"access_token"`
}

// token makes a call and expects a token.
func (h *harness) token(id workossim.ID) (value string, expires time.Time) {
	h.Helper()
	answer := h.call(id)
	var decoded tokenReply
	if err := json.Unmarshal([]byte(answer.Body), &decoded); err != nil || answer.Status != http.StatusOK {
		h.Fatalf("got %d %q, want a token (%v)", answer.Status, answer.Body, err)
	}
	if !decoded.Active || decoded.AccessToken.AccessToken == "" {
		h.Fatalf("got %q, want a token", answer.Body)
	}
	if decoded.AccessToken.ExpiresAt != nil {
		parsed, err := time.Parse(time.RFC3339, *decoded.AccessToken.ExpiresAt)
		if err != nil {
			h.Fatal(err)
		}
		expires = parsed
	}
	return decoded.AccessToken.AccessToken, expires
}

func (h *harness) wantResults(want ...string) {
	h.Helper()
	var got []string
	for _, r := range h.sim.Requests() {
		got = append(got, r.Result)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		h.Errorf("recorded results %q, want %q", got, want)
	}
}
