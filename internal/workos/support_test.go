package workos_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

const (
	testKey   = "sk_test_canary_5up3r_s3cr3t"
	testToken = "gho_canary_16C7e42F292c6912E7710c838347Ae178B4a"
	goodBody  = `{"active":true,"access_token":{"object":"access_token","access_token":"` + testToken +
		`","expires_at":"2026-11-23T14:00:00.250Z","scopes":["repo","user:email"],"missing_scopes":["gist"]}}`
	baseURL = "https://api.workos.com"
)

var (
	// epoch is the start time of stepped clocks.
	epoch = time.Date(2026, time.November, 23, 13, 0, 0, 0, time.UTC)
	alice = workos.Request{Slug: "github", UserID: "user_alice", OrganizationID: "org_acme"}
)

// roundTrip is a function that is used as a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// respond returns a response. header alternates names and values.
func respond(status int, body string, header ...string) *http.Response {
	response := &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
	}
	for pair := range slices.Chunk(header, 2) {
		response.Header.Add(pair[0], pair[1])
	}
	return response
}

// always returns a transport that gives the same answer to every request.
func always(status int, body string, header ...string) roundTrip {
	return func(*http.Request) (*http.Response, error) { return respond(status, body, header...), nil }
}

// user returns the request of the n-th of many users.
func user(n int) workos.Request {
	return workos.Request{Slug: "github", UserID: fmt.Sprintf("user_%d", n)}
}

func steppedClock() *clocktesting.FakePassiveClock { return clocktesting.NewFakePassiveClock(epoch) }

func step(c *clocktesting.FakePassiveClock, d time.Duration) { c.SetTime(c.Now().Add(d)) }

func connect(t *testing.T, u *workos.Upstream, owner, baseURL, key string, requestsPerMinute int) *workos.Client {
	t.Helper()
	client, err := u.Connect(owner, baseURL, redact.NewString(key), requestsPerMinute)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// connectOnly returns the client of an Upstream's only owner, with a budget that is large enough.
func connectOnly(t *testing.T, o workos.Options, baseURL string) *workos.Client {
	t.Helper()
	return connect(t, workos.New(o), "pipes-system/default", baseURL, testKey, 60000)
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func ask(t *testing.T, c *workos.Client, r workos.Request) workos.Answer {
	t.Helper()
	answer, err := c.Token(t.Context(), r, workos.Turn{})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// expect checks the outcome, whether a request was sent, and how long to wait.
func expect(t *testing.T, got workos.Answer, outcome workos.Outcome, sent bool, retryAfter time.Duration) {
	t.Helper()
	if got.Outcome != outcome || got.Sent != sent || got.RetryAfter != retryAfter {
		t.Fatalf("got %s (%s), sent %v, retry after %v; want %s, sent %v, retry after %v",
			got.Outcome, got.Message, got.Sent, got.RetryAfter, outcome, sent, retryAfter)
	}
}
