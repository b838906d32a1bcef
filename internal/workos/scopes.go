package workos

import (
	"encoding/json"
	"strings"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// MaxScopes bounds Token.Scopes and Token.MissingScopes in number, so that they fit a status.
const MaxScopes = 256

const (
	// maxScope bounds each scope, in characters.
	maxScope = 512
	// enoughScopes is from how many bytes of scopes on no more are read. The most that known providers
	// have are 100 of 60 characters. Each is in the Secret twice and in the status once.
	enoughScopes = 16 << 10
)

// Truncated says whether scopes may be the beginning of a longer list.
func Truncated(scopes []string) bool {
	bytes := 0
	for _, scope := range scopes {
		bytes += len(scope)
	}
	return len(scopes) >= MaxScopes || bytes >= enoughScopes
}

// readScopes reads a list of scopes. They only describe a token, so that nothing in their place costs the token: a string is
// a list separated by spaces, as in OAuth; items that are no strings are left out; and any other value is no scope.
func readScopes(raw json.RawMessage, secrets ...redact.String) []string {
	var scopes []string
	if line, ok := text(raw); ok {
		scopes = strings.Fields(line)
	}
	for _, item := range list(raw) {
		if scope, ok := text(item); ok {
			scopes = append(scopes, scope)
		}
	}
	var bounded []string
	for _, scope := range scopes {
		if scope = redact.Cut(redact.Exact(redact.Printable(scope), secrets...), maxScope); scope != "" && !Truncated(bounded) {
			bounded = append(bounded, scope)
		}
	}
	return bounded
}
