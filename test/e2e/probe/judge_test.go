package main

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

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
