package workos

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// FuzzDecode checks that decode keeps the promises of Answer, whatever the upstream sends.
func FuzzDecode(f *testing.F) {
	const key = "sk_fuzz"
	for _, body := range []string{
		`{"active":true,"credential":{"auth_method":"api_key","value":"k","config":{"a":"sk_fuzz"}}}`,
		`{"active":true,"credential":{"auth_method":"sk_fuzz","value":"k"}}`,
		`{"active":true,"credential":{"auth_method":"client_credentials","value":"k","expires_at":null,"metadata":{"b":[1]}}}`,
		``, `null`, `{}`, `[]`, `{"active":true}`, `{"active":false,"error":"not_installed"}`, `{"active":false,"error":"sk_fuzz"}`,
		`{"active":true,"access_token":{"access_token":"gho_1","expires_at":"2026-11-23T14:00:00Z","scopes":["a","sk_fuzz"]}}`,
		`{"active":true,"access_token":{"access_token":"gho\n","expires_at":null,"missing_scopes":["\u0000"]}}`,
		`{"message":"a\u202eb sk_fuzz","code":"auth_method_mismatch"}`, "{\"message\":\"\xff\"}", `<html></html>`,
	} {
		for _, status := range []int{101, 200, 302, 401, 404, 409, 422, 429, 500} {
			for _, method := range []Method{MethodOAuth, MethodAPIKey, MethodClientCredentials} {
				f.Add(status, []byte(body), string(method))
			}
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, method string) {
		answer := decode(status, body, nil, redact.NewString(key), Method(method))
		if !slices.Contains(Outcomes(), answer.Outcome) || answer.Outcome == OutcomeHeld {
			t.Errorf("outcome %q", answer.Outcome)
		}
		isToken := answer.Outcome == OutcomeToken
		for _, properties := range []string{answer.Token.Metadata.Reveal(), answer.Token.Config.Reveal()} {
			if properties != "" && (!isToken || !json.Valid([]byte(properties)) || len(properties) > 2*maxProperties) {
				t.Errorf("%s with the properties %q", answer.Outcome, properties)
			}
		}
		if token := answer.Token.Value.Reveal(); visibleASCII(token) != isToken || len(token) > maxToken {
			t.Errorf("%s with the token %q", answer.Outcome, token)
		}
		if (answer.Message == "") != isToken {
			t.Errorf("%s with the message %q", answer.Outcome, answer.Message)
		}
		if !isToken && (answer.Token.Scopes != nil || answer.Token.MissingScopes != nil || !answer.Token.ExpiresAt.IsZero()) {
			t.Errorf("%s with %+v", answer.Outcome, answer.Token)
		}
		checkText(t, answer.Message, maxMessage, key)
		for _, scope := range slices.Concat(answer.Token.Scopes, answer.Token.MissingScopes) {
			checkText(t, scope, maxScope, key)
		}
	})
}

func checkText(t *testing.T, text string, limit int, key string) {
	t.Helper()
	if utf8.RuneCountInString(text) > limit || !utf8.ValidString(text) || strings.Contains(text, key) ||
		strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("unfit text %q", text)
	}
}
