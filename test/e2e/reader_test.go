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
