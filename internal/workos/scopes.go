package workos

import (
	"encoding/json"
	"strings"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// MaxScopes bounds the number of Token.Scopes and of Token.MissingScopes, so that they fit into
// a status.
const MaxScopes = 256

const (
	// maxScope bounds each scope, in characters.
	maxScope = 512
	// enoughScopes is the number of bytes from which on no further scopes are read. The longest
	// lists of known providers have 100 scopes of 60 characters. Each scope is in the Secret
	// twice and in the status once.
	enoughScopes = 16 << 10
)

// Truncated reports whether scopes may be the beginning of a longer list.
func Truncated(scopes []string) bool {
	bytes := 0
	for _, scope := range scopes {
		bytes += len(scope)
	}
	return len(scopes) >= MaxScopes || bytes >= enoughScopes
}

// readScopes reads a list of scopes. Scopes only describe a token, so a wrong value must not
// cost the token. A string is a list separated by spaces, as in OAuth. Items that are not
// strings are left out. Any other value means no scopes.
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
		if scope = redact.Cut(redact.Exact(redact.Printable(scope), secrets...), maxScope); scope != "" &&
			!Truncated(bounded) {
			bounded = append(bounded, scope)
		}
	}
	return bounded
}
