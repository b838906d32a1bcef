//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// sight is what a reader found in the volume, from an instant until the next one that it tells of; see probe read.
type sight struct {
	At        time.Time `json:"at"`
	Serial    int       `json:"serial"` // of the token; 0: there is none
	ExpiresAt string    `json:"expiresAt"`
}

// sights are all that a reader has found so far.
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

// issued is a token that WorkOS has handed out.
type issued struct{ at, expires time.Time }

// tokens are those that WorkOS has handed out for the connection, by serial, with the instant of the first call that got them.
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

// judge checks what a reader has found until now against what WorkOS has handed out, and gives how long each rotation took from
// the answer of WorkOS to the file.
//
//   - each token is beside its own expiry;
//   - no token is skipped, and none comes back;
//   - none is still in the file when it expires.
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

// summary of durations, for people.
func summary(delays []time.Duration) string {
	return fmt.Sprintf("p50 %.1f s, max %.1f s over %d rotations", percentile(delays, 50).Seconds(), percentile(delays, 100).Seconds(), len(delays))
}
