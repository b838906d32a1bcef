//go:build reliability

package faults_test

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// tokenPattern matches the simulator's tokens anywhere in a text: marker, slug, serial and a
// hash.
var tokenPattern = regexp.MustCompile(regexp.QuoteMeta(workossim.DefaultTokenMarker) + `[A-Za-z0-9-]+_([0-9]+)_[0-9a-f]{16}`)

// serialOf returns the serial of the token in a text, if the token belongs to this connection; 0
// if the text contains no token, and -1 if it contains a token of another connection.
func serialOf(id workossim.ID, text string) int {
	found := tokenPattern.FindStringSubmatch(text)
	if found == nil {
		return 0
	}
	serial, err := strconv.Atoi(found[1])
	if err != nil || workossim.TokenValue(workossim.Connection{ID: id}, serial) != found[0] {
		return -1
	}
	return serial
}

func TestTokensAreFoundInTexts(t *testing.T) {
	alice, bob := workossim.ID{Slug: "github", UserID: "alice"}, workossim.ID{Slug: "github", UserID: "bob"}
	text := "machine github.com password " + workossim.TokenValue(workossim.Connection{ID: alice, TokenPrefix: "gho_"}, 17) + "\n"
	for want, got := range map[int]int{
		17: serialOf(alice, text), -1: serialOf(bob, text), 0: serialOf(alice, "no token"),
	} {
		if got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}
