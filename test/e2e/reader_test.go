//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// sight is the content of the volume as a reader saw it. It is valid until the next sight. See
// probe read.
type sight struct {
	At        time.Time `json:"at"`
	Serial    int       `json:"serial"` // serial of the token; 0: no token
	ExpiresAt string    `json:"expiresAt"`
}

// sights returns everything that a reader has seen so far.
func sights(namespace, reader string) []sight {
	GinkgoHelper()
	phase := kubectl("get", "pod", reader, "--namespace="+namespace, "--output=jsonpath={.status.phase}")
	Expect(phase).To(Equal("Running"), "the reader has ended: %s", kubectl("logs", reader, "--namespace="+namespace))
	var found []sight
	for line := range strings.Lines(kubectl("logs", reader, "--namespace="+namespace)) {
		var s sight
		Expect(json.Unmarshal([]byte(line), &s)).To(Succeed(), line)
		found = append(found, s)
	}
	return found
}

// issued is a token that WorkOS has returned.
type issued struct{ at, expires time.Time }

// tokens returns the tokens that WorkOS has returned for the connection, by serial, with the
// time of the first call that returned the token.
func (c connection) tokens() map[int]issued {
	GinkgoHelper()
	tokens := map[int]issued{}
	for _, request := range c.requests() {
		if _, known := tokens[request.TokenSerial]; !known && request.TokenSerial > 0 {
			tokens[request.TokenSerial] = issued{at: request.Time, expires: request.TokenExpiresAt}
		}
	}
	return tokens
}

// judge compares the sights of a reader with the tokens that WorkOS has returned. It returns how
// long each rotation took, from the response of WorkOS until the reader saw the file.
//
//   - Each token has its own expiry next to it.
//   - No token is skipped, and no earlier token comes back.
//   - No token is still in the file when it expires.
func judge(tokens map[int]issued, found []sight, now time.Time) ([]time.Duration, error) {
	var delays []time.Duration
	for i, s := range found {
		token, known := tokens[s.Serial]
		until := now
		if i+1 < len(found) {
			until = found[i+1].At
		}
		switch expiry := token.expires.UTC().Format(time.RFC3339); {
		case !known:
			return nil, fmt.Errorf("the file has token %d, which WorkOS has not handed out", s.Serial)
		case s.ExpiresAt != expiry:
			return nil, fmt.Errorf("token %d expires at %s, and beside it is %s", s.Serial, expiry, s.ExpiresAt)
		case !until.Before(token.expires):
			return nil, fmt.Errorf("token %d was in the file when it had expired", s.Serial)
		case i == 0:
			continue
		case s.Serial != found[i-1].Serial+1:
			return nil, fmt.Errorf("token %d came after token %d", s.Serial, found[i-1].Serial)
		}
		delays = append(delays, s.At.Sub(token.at))
	}
	return delays, nil
}

// summary formats durations for the report.
func summary(delays []time.Duration) string {
	return fmt.Sprintf("p50 %.1f s, max %.1f s over %d rotations", percentile(delays, 50).Seconds(), percentile(delays, 100).Seconds(), len(delays))
}

// noon is when WorkOS returns the first of three tokens. Each token lives for four minutes, and
// the next token comes two minutes before it expires.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

var handedOut = map[int]issued{
	1: {noon, noon.Add(4 * time.Minute)},
	2: {noon.Add(2 * time.Minute), noon.Add(6 * time.Minute)},
	3: {noon.Add(4 * time.Minute), noon.Add(8 * time.Minute)},
}

func at(after time.Duration, serial int, expires string) sight {
	return sight{At: noon.Add(after), Serial: serial, ExpiresAt: "2026-11-24T12:" + expires + ":00Z"}
}

func TestWhatAReaderMayAndMustNotFind(t *testing.T) {
	for name, test := range map[string]struct {
		found []sight
		now   time.Duration
		says  string
	}{
		"each in time":               {[]sight{at(time.Second, 1, "04"), at(150*time.Second, 2, "06"), at(290*time.Second, 3, "08")}, 5 * time.Minute, ""},
		"the expiry of another":      {[]sight{at(time.Second, 1, "04"), at(150*time.Second, 2, "04")}, 3 * time.Minute, "token 2 expires at 2026-11-24T12:06:00Z, and beside it is 2026-11-24T12:04:00Z"},
		"one that had expired":       {[]sight{at(time.Second, 1, "04"), at(241*time.Second, 2, "06")}, 5 * time.Minute, "token 1 was in the file when it had expired"},
		"one that has expired since": {[]sight{at(time.Second, 1, "04")}, 4 * time.Minute, "token 1 was in the file when it had expired"},
		"one that was skipped":       {[]sight{at(time.Second, 1, "04"), at(239*time.Second, 3, "08")}, 5 * time.Minute, "token 3 came after token 1"},
		"one that came back":         {[]sight{at(130*time.Second, 2, "06"), at(140*time.Second, 1, "04")}, 3 * time.Minute, "token 1 came after token 2"},
		"none":                       {[]sight{at(time.Second, 1, "04"), {At: noon.Add(time.Minute)}}, 2 * time.Minute, "the file has token 0, which WorkOS has not handed out"},
	} {
		t.Run(name, func(t *testing.T) {
			delays, err := judge(handedOut, test.found, noon.Add(test.now))
			switch {
			case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
				t.Errorf("got %v, want %s", err, test.says)
			case test.says == "" && (err != nil || !slices.Equal(delays, []time.Duration{30 * time.Second, 50 * time.Second})):
				t.Errorf("got %v, %v", delays, err)
			}
		})
	}
}

func TestHowLateRenewalsAre(t *testing.T) {
	for lead, late := range map[time.Duration]time.Duration{
		2 * time.Minute:   0,                // each token came exactly when it was due
		150 * time.Second: 30 * time.Second, // each token came 30 s late
	} {
		if got := lateness(handedOut, lead, noon.Add(5*time.Minute)); got != late {
			t.Errorf("with a lead of %s: got %s, want %s", lead, got, late)
		}
	}
	if got := lateness(handedOut, 2*time.Minute, noon.Add(7*time.Minute)); got != time.Minute {
		t.Errorf("one that is due for a minute: got %s", got)
	}
}
