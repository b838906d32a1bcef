//go:build reliability

package faults_test

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// tokenPattern fits the simulator's tokens, wherever in a text they stand: marker, slug, serial and a hash.
var tokenPattern = regexp.MustCompile(regexp.QuoteMeta(workossim.DefaultTokenMarker) + `[A-Za-z0-9-]+_([0-9]+)_[0-9a-f]{16}`)

// serialOf is the serial of the token in a text, if that is one of the connection's; 0: there is none, and -1: it is one of
// somebody else's.
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
