package workos

import (
	"encoding/json"
	"strings"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// MaxScopes bounds Token.Scopes and Token.MissingScopes in number, so that they fit a status. Whoever shows as many says
// that there may be more.
const MaxScopes = 256

// maxScope bounds each scope, in characters.
const maxScope = 512

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
		if scope = redact.Cut(redact.Exact(redact.Printable(scope), secrets...), maxScope); scope != "" && len(bounded) < MaxScopes {
			bounded = append(bounded, scope)
		}
	}
	return bounded
}
