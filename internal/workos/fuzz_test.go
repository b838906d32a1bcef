package workos_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// These tests feed the client with responses of an upstream that is wrong, hostile or a
// different service. In the inputs $TOKEN and $KEY stand for the canaries, so that the fuzzer
// moves them as a whole.

const (
	maxMessage   = 256
	maxRequestID = 128
	maxScopes    = 256
	maxScope     = 512
	maxToken     = 64 << 10
	maxBody      = 1 << 20
	maxWait      = time.Hour
	// patience is how long reading a single answer may take. Most take microseconds, but the
	// machine may be busy.
	patience = 10 * time.Second
)

var planted = strings.NewReplacer("$TOKEN", testToken, "$KEY", testKey)

// answerTo returns the client's answer to one response. No response of an upstream is an error.
func answerTo(t *testing.T, status int, body string, header ...string) workos.Answer {
	t.Helper()
	defer time.AfterFunc(patience, func() { panic("an answer is being read for ever") }).Stop()
	client := connectOnly(t, workos.Options{Transport: always(status, body, header...), Clock: steppedClock()}, baseURL)
	return ask(t, client, alice)
}

// FuzzAnswer checks that every response becomes an answer with an outcome of the closed set and
// with text that is fit for a status. The key must not be in any of the text. A token must come
// from a 2xx response that contains it.
func FuzzAnswer(f *testing.F) {
	f.Add(200, planted.Replace(goodBody), "", "", "req_01")
	f.Fuzz(func(t *testing.T, status int, body, retryAfter, date, requestID string) {
		body, requestID = planted.Replace(body), planted.Replace(requestID)
		answer := answerTo(t, status, body,
			"Retry-After", planted.Replace(retryAfter), "Date", planted.Replace(date), "X-Request-ID", requestID)
		if !answer.Sent || answer.Outcome == workos.OutcomeHeld || !slices.Contains(workos.Outcomes(), answer.Outcome) {
			t.Errorf("outcome %q, sent %v", answer.Outcome, answer.Sent)
		}
		if got, want := answer.Outcome == workos.OutcomeToken, status/100 == 2 && len(body) <= maxBody; got && !want {
			t.Errorf("a token from status %d and %d bytes", status, len(body))
		}
		expectText(t, answer)
		expectWait(t, status, answer)
		expectToken(t, body, answer)
		expectNoSecret(t, answer)
	})
}

// expectText checks the promises of Answer about its texts.
func expectText(t *testing.T, answer workos.Answer) {
	t.Helper()
	if (answer.Message == "") != (answer.Outcome == workos.OutcomeToken) {
		t.Errorf("%s has the message %q", answer.Outcome, answer.Message)
	}
	expectPrintable(t, "the message", answer.Message, maxMessage)
	if len(answer.RequestID) > maxRequestID || strings.ContainsFunc(answer.RequestID, func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-", r)
	}) {
		t.Errorf("the request ID is %q", answer.RequestID)
	}
}

func expectPrintable(t *testing.T, what, text string, limit int) {
	t.Helper()
	if !utf8.ValidString(text) || utf8.RuneCountInString(text) > limit ||
		strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%s is not at most %d printable characters: %q", what, limit, text)
	}
}

// expectWait checks that only three statuses ask for a wait, and that no wait is longer than an
// hour.
func expectWait(t *testing.T, status int, answer workos.Answer) {
	t.Helper()
	got := answer.RetryAfter
	ok := got == 0
	switch status {
	case http.StatusUnauthorized:
		ok = got == 30*time.Second
	case http.StatusTooManyRequests:
		ok = got > 0 && got <= maxWait
	case http.StatusServiceUnavailable:
		ok = got >= 0 && got <= maxWait
	}
	if !ok {
		t.Errorf("status %d asks to wait for %v", status, got)
	}
}

// expectToken checks a token against the promises of Token, and against the text of the body.
func expectToken(t *testing.T, body string, answer workos.Answer) {
	t.Helper()
	token := answer.Token
	if answer.Outcome != workos.OutcomeToken {
		if token.Value.Reveal() != "" || !token.ExpiresAt.IsZero() || token.Scopes != nil || token.MissingScopes != nil {
			t.Errorf("%s comes with a token", answer.Outcome)
		}
		return
	}
	value := token.Value.Reveal()
	if value == "" || len(value) > maxToken || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		t.Errorf("a token of %d bytes", len(value))
	}
	var read any
	document := json.NewDecoder(strings.NewReader(body))
	document.UseNumber()
	if err := document.Decode(&read); err != nil || !slices.Contains(stringsIn(read), value) {
		t.Errorf("the token is no string of the answer (%v)", err)
	}
	if expires := token.ExpiresAt; !expires.IsZero() && !isPlausible(expires) {
		t.Errorf("expires at %v", expires)
	}
	for _, scopes := range [][]string{token.Scopes, token.MissingScopes} {
		if len(scopes) > maxScopes {
			t.Errorf("%d scopes", len(scopes))
		}
		for _, scope := range scopes {
			if scope == "" {
				t.Error("an empty scope")
			}
			expectPrintable(t, "a scope", scope, maxScope)
		}
	}
}

// stringsIn returns all strings in a document.
func stringsIn(document any) []string {
	var found []string
	switch document := document.(type) {
	case string:
		found = []string{document}
	case []any:
		for _, item := range document {
			found = append(found, stringsIn(item)...)
		}
	case map[string]any:
		for _, item := range document {
			found = append(found, stringsIn(item)...)
		}
	}
	return found
}

// isPlausible reports whether Kubernetes can store the expiry, the expiry is none of the years
// that stand for "unset", and it is in UTC.
func isPlausible(expires time.Time) bool {
	return expires.Location() == time.UTC && expires.After(time.Unix(0, 0)) && expires.Year() <= 9999
}

// expectNoSecret checks that a printed answer shows neither the key nor the token that was
// taken. If the upstream also sends the token as the request ID, the token may be seen there.
func expectNoSecret(t *testing.T, answer workos.Answer) {
	t.Helper()
	for _, text := range append([]string{printed(answer), answer.Message, answer.RequestID}, append(answer.Token.Scopes, answer.Token.MissingScopes...)...) {
		if strings.Contains(text, testKey) {
			t.Errorf("the key is shown: %q", text)
		}
	}
	if answer.Outcome != workos.OutcomeToken || answer.Token.Value.Reveal() != testToken {
		return
	}
	answer.RequestID = ""
	if text := printed(answer); strings.Contains(text, testToken) {
		t.Errorf("the token is shown: %q", text)
	}
}

// printed returns an answer as logs and panics may print it.
func printed(answer workos.Answer) string {
	var text strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		fmt.Fprintf(&text, verb, answer)
	}
	return text.String()
}

// FuzzDocumentedToken checks the other direction: the client understands every answer that
// WorkOS documents, and loses nothing of its token and expiry.
func FuzzDocumentedToken(f *testing.F) {
	f.Add(testToken, epoch.Unix(), "repo", "gist")
	f.Fuzz(func(t *testing.T, token string, expires int64, scope, missing string) {
		if token == "" || len(token) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return
		}
		at := time.Unix(expires, 0).UTC()
		if !isPlausible(at) {
			return
		}
		body, err := json.Marshal(map[string]any{"active": true, "access_token": map[string]any{
			"object": "access_token", "access_token": token, "expires_at": at, "scopes": []string{scope}, "missing_scopes": []string{missing},
		}})
		if err != nil {
			t.Fatal(err)
		}
		answer := answerTo(t, http.StatusOK, string(body))
		if answer.Outcome != workos.OutcomeToken || answer.Token.Value.Reveal() != token || !answer.Token.ExpiresAt.Equal(at) {
			t.Errorf("got %s (%s), expiry %v, from %s", answer.Outcome, answer.Message, answer.Token.ExpiresAt, body)
		}
		expectToken(t, string(body), answer)
	})
}
