package workos_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// Scopes are in the Secret, in the status and in caches, so they are bounded in number and in
// bytes.
func TestLongListsOfScopesAreCutAndToldFrom(t *testing.T) {
	list := func(n, length int) (scopes []string) {
		for i := range n {
			scopes = append(scopes, fmt.Sprintf("%03d:", i)+strings.Repeat("s p", length/3))
		}
		return scopes
	}
	for name, test := range map[string]struct {
		scopes []string
		want   int
		cut    bool
	}{
		"none":       {nil, 0, false},
		"100 of 60":  {list(100, 60), 100, false},
		"1,000 tiny": {list(1000, 3), 256, true},
		"256 of 500": {list(256, 500), 33, true},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := json.Marshal(map[string]any{"active": true, "access_token": map[string]any{
				"access_token": "gho_1", "expires_at": nil, "scopes": test.scopes, "missing_scopes": test.scopes,
			}})
			if err != nil {
				t.Fatal(err)
			}
			client := connectOnly(t, workos.Options{Transport: always(200, string(body)), Clock: steppedClock()}, baseURL)
			token := ask(t, client, alice).Token
			if len(token.Scopes) != test.want || len(token.MissingScopes) != test.want {
				t.Errorf("%d and %d scopes, want %d", len(token.Scopes), len(token.MissingScopes), test.want)
			}
			if workos.Truncated(token.Scopes) != test.cut {
				t.Errorf("truncated: %v, want %v", !test.cut, test.cut)
			}
		})
	}
}
