package workos

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// This file defines the meaning of an answer a second time, as plainly as possible, from WorkOS's
// documentation. The client's decoder must agree with it on every answer. The reference reads a
// document into maps, whose keys are case-sensitive, and times with Go's layouts.
//
// The word "lenient" marks where the reference accepts more than the documentation allows.

// meaning has the parts of an answer in which the reference and the client are compared.
type meaning struct {
	outcome         Outcome
	token           string
	expires         time.Time
	scopes, missing []string
}

func meaningOf(answer Answer) meaning {
	return meaning{
		answer.Outcome, answer.Token.Value.Reveal(), answer.Token.ExpiresAt, answer.Token.Scopes, answer.Token.MissingScopes,
	}
}

func (m meaning) equal(other meaning) bool {
	return m.outcome == other.outcome && m.token == other.token && m.expires.Equal(other.expires) &&
		slices.Equal(m.scopes, other.scopes) && slices.Equal(m.missing, other.missing)
}

// referenceDocument reads one JSON document and refuses text after it. Lenient: if several
// members have the same name, the last member counts, and invalid UTF-8 is read as U+FFFD.
func referenceDocument(body string) (document any, err error) {
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something after the document")
	}
	return document, nil
}

func reference(status int, body string) meaning {
	document, err := referenceDocument(body)
	object, isObject := document.(map[string]any)
	if status < 200 || status > 299 {
		code, _ := object["code"].(string)
		return meaning{outcome: referenceRefusal(status, code)}
	}
	active, isBool := object["active"].(bool)
	switch {
	case err != nil, !isObject, !isBool:
		return meaning{outcome: OutcomeUnreadable}
	case active:
		token, _ := object["access_token"].(map[string]any)
		return referenceToken(token)
	}
	switch object["error"] {
	case "not_installed":
		return meaning{outcome: OutcomeNotInstalled}
	case "needs_reauthorization":
		return meaning{outcome: OutcomeNeedsReauthorization}
	// Lenient: WorkOS documents these codes only for refusals: account_selection_required for
	// 409, auth_method_mismatch for 422, and the last two for 409 and 503.
	case "account_selection_required":
		return meaning{outcome: OutcomeAccountSelectionRequired}
	case "auth_method_mismatch":
		return meaning{outcome: OutcomeAuthMethodMismatch}
	case "concurrent_request", "refresh_in_progress":
		return meaning{outcome: OutcomeBusy}
	}
	return meaning{outcome: OutcomeInactive}
}

func referenceRefusal(status int, code string) Outcome {
	busy := code == "concurrent_request" || code == "refresh_in_progress"
	switch {
	case status == 401:
		return OutcomeKeyRejected
	case status == 403:
		return OutcomeForbidden
	case status == 404:
		return OutcomeNotFound
	case status == 407, status == 408, status == 421, status == 425:
		return OutcomeUnavailable
	case status == 409 && code == "account_selection_required":
		return OutcomeAccountSelectionRequired
	case status == 409, status == 503 && busy:
		return OutcomeBusy
	case status == 422 && code == "auth_method_mismatch":
		return OutcomeAuthMethodMismatch
	case status == 429:
		return OutcomeRateLimited
	case status >= 500:
		return OutcomeUnavailable
	case status >= 300:
		return OutcomeRejected
	}
	return OutcomeUnreadable
}

// referenceToken reads the five fields of a token. Lenient: it ignores "object", and expires_at
// may be absent.
func referenceToken(object map[string]any) meaning {
	token, _ := object["access_token"].(string)
	if token == "" || len(token) > 64<<10 || strings.ContainsFunc(token, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return meaning{outcome: OutcomeUnreadable}
	}
	found := meaning{
		outcome: OutcomeToken, token: token,
		scopes: referenceScopes(object["scopes"], token), missing: referenceScopes(object["missing_scopes"], token),
	}
	if object["expires_at"] == nil {
		return found
	}
	text, _ := object["expires_at"].(string)
	expires, ok := referenceTime(text)
	if !ok {
		return meaning{outcome: OutcomeUnreadable}
	}
	found.expires = expires
	return found
}

// referenceScopes is lenient: it accepts any type.
func referenceScopes(value any, token string) []string {
	items, _ := value.([]any)
	if line, ok := value.(string); ok {
		for _, word := range strings.Fields(line) {
			items = append(items, word)
		}
	}
	var scopes []string
	bytes := 0
	for _, item := range items {
		scope, _ := item.(string)
		scope = redact.Printable(scope)
		for _, secret := range []string{referenceKey, token} {
			scope = redact.Exact(scope, redact.NewString(secret))
		}
		if runes := []rune(scope); len(runes) > 512 {
			scope = string(runes[:512])
		}
		if scope != "" && len(scopes) < 256 && bytes < 16384 {
			scopes = append(scopes, scope)
			bytes += len(scope)
		}
	}
	return scopes
}

// referenceTime tries the layouts of ISO 8601 one by one. Lenient: it accepts small letters, a
// space in place of T, and no offset. Go's layouts accept more than that, and it refuses the
// rest: hours of one digit, several spaces, and offsets of 24 hours or 60 minutes.
func referenceTime(text string) (time.Time, bool) {
	text = strings.ToUpper(text)
	for _, clock := range []string{
		"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "20060102T150405", "20060102T1504",
	} {
		for _, zone := range []string{"Z07:00", "Z0700", "Z07", ""} {
			instant, err := time.Parse(clock+zone, text)
			_, offset := instant.Zone()
			minutes := zone != "" && zone != "Z07" && strings.HasSuffix(text, "60")
			if err != nil || minutes || max(offset, -offset) >= 24*3600 || !strings.HasPrefix(text, instant.Format(clock)) {
				continue
			}
			return instant.UTC(), instant.Unix() > 0 && instant.UTC().Year() <= 9999
		}
	}
	instant, err := time.Parse("2006-01-02", text)
	return instant, err == nil && instant.Unix() > 0
}

// referenceKey is the API key, which must be redacted in scopes.
const referenceKey = "sk_test_reference"

// FuzzReference checks that the client and the reference agree on the meaning of every response.
func FuzzReference(f *testing.F) {
	for _, body := range referenceBodies {
		for _, status := range []int{200, 201, 301, 400, 401, 403, 404, 407, 408, 409, 421, 422, 425, 429, 500, 503} {
			f.Add(status, body)
		}
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		got := meaningOf(decode(status, []byte(body), nil, redact.NewString(referenceKey), MethodOAuth))
		if want := reference(status, body); !got.equal(want) {
			t.Errorf("%d %q\nthe client:    %+v\nthe reference: %+v", status, body, got, want)
		}
	})
}

// FuzzReferenceExpiry checks the same for the expiry alone, which the fuzzer would not reach
// often enough inside JSON.
func FuzzReferenceExpiry(f *testing.F) {
	for _, text := range []string{
		"2026-11-29T20:00:00.250Z", "2026-11-29T20:00:00+0200", "2026-11-29 20:00:00,5+02", "20261129T200000-0130", "2026-11-29",
		"2026-11-29T20:15", "2026-11-29t20:00:00z", "9999-12-31T23:59:59-23:59", "1970-01-01T00:00:00Z", "2026-11-29 9:00", "2026-11-29T20:00+02:60", "2026-W48-7", "1795442400",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseExpiry(text)
		want, ok := referenceTime(text)
		if ok != (err == nil) || ok && !got.Equal(want) {
			t.Errorf("%q is read as %v, %v; the reference has %v, %v", text, got, err, want, ok)
		}
	})
}

// referenceBodies are the seeds of the fuzzer. Each has something that a decoder can get wrong.
var referenceBodies = []string{
	``, `null`, `{}`, `[]`, `7`, `"active"`, `<html>`, `{"active":true`, `{"active":true}{"active":true}`,
	`{"active":true,"access_token":{"object":"access_token","access_token":"gho_1","expires_at":"2026-11-23T14:00:00.250Z","scopes":["repo"],"missing_scopes":["gist"]}}`,
	`{"active":true,"ACTIVE":false,"Error":"not_installed","access_token":{"access_token":"gho_1","ACCESS_TOKEN":7,"Expires_At":"x"}}`,
	`{"active":false,"active":true,"access_token":7,"access_token":{"access_token":"a","access_token":"gho_1"}}`,
	`{"active":true,"error":"not_installed","access_token":{"access_token":"gho_1","expires_at":null,"scopes":null}}`,
	` { "active" : true , "access_token" : { "access_token" : "gho_1" , "expires_at" : null , "scopes" : [ ] } } `,
	`{"active":true,"access_token":{"access_token":"gho_1","expires_at":"2026-11-29T20:00:00+0200","scopes":"repo user","missing_scopes":{"a":1}}}`,
	`{"active":true,"access_token":{"access_token":"gho_1","expires_at":"2026-11-29","scopes":["sk_test_reference",null,7,["x"],"gho_1","\u200ba"]}}`,
	`{"active":true,"access_token":{"access_token":"gho_1","expires_at":1795442400,"n":1e999}}`,
	`{"active":true,"access_token":{"access_token":"gho\n"}}`, `{"active":true,"access_token":{"access_token":null}}`,
	`{"active":true,"access_token":{"access_token":7}}`, `{"active":true,"access_token":null}`, `{"active":true,"access_token":"gho_1"}`,
	`{"active":"true"}`, `{"active":1}`, `{"active":null,"error":"not_installed"}`, `{"Active":false,"error":"not_installed"}`,
	`{"active":false}`, `{"active":false,"error":"not_installed"}`, `{"active":false,"error":"needs_reauthorization"}`,
	`{"active":false,"ERROR":"not_installed"}`, `{"active":false,"error":"on_hold"}`, `{"active":false,"error":{"a":1}}`,
	`{"active":false,"error":"account_selection_required"}`, `{"active":false,"error":"auth_method_mismatch"}`,
	`{"active":false,"error":"concurrent_request"}`, `{"active":false,"error":"refresh_in_progress"}`,
	`{"code":"account_selection_required","message":"a"}`, `{"Code":"account_selection_required","message":"a"}`,
	`{"code":"auth_method_mismatch"}`, `{"code":"concurrent_request"}`, `{"code":"refresh_in_progress"}`, `{"code":["refresh_in_progress"]}`,
	`{"code":"x","code":"account_selection_required"}`, `{"message":["a","b"],"errors":[{"code":"required","field":"user_id"},{"message":"no"}]}`,
	`{"error":"invalid_grant","error_description":"refresh token ghr_1B4a2e77838347a7E420 is revoked"}`,
	"{\"active\":true,\"access_token\":{\"access_token\":\"gh\xff\"}}", `{"active":true,"access_token":{"access_token":"\ud800"}}`,
	`{"a\u0063tive":true,"access_token":{"access_token":"gho_1"}}`,
}
