package workos

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

const (
	// maxRetryAfter bounds every wait that this package asks for, so that no header puts a key to sleep for good.
	maxRetryAfter = time.Hour
	// defaultRetryAfter is the patience after a 429 that names none: enough to stop the calls that are on their way
	// to a key that is over its limit, little enough for the spurious 429s that WorkOS has sent (July 2025).
	defaultRetryAfter = time.Second
	// rejectedRetryAfter is how long a rejected key (401) is left alone.
	rejectedRetryAfter = 30 * time.Second
)

// retryAfter is how long the answer's outcome and headers ask to wait, at most an hour; 0 when they do not.
func retryAfter(status int, header http.Header, received time.Time) time.Duration {
	switch status {
	case http.StatusUnauthorized:
		return rejectedRetryAfter
	case http.StatusTooManyRequests:
		if wait := parseRetryAfter(header, received); wait > 0 {
			return wait
		}
		return defaultRetryAfter
	case http.StatusServiceUnavailable:
		return parseRetryAfter(header, received)
	}
	return 0
}

// parseRetryAfter reads both forms of RFC 9110, section 10.2.3: seconds, and an HTTP date. A date is taken relative
// to the answer's own Date, so that a local clock that is off does not count; 0 when there is none, or none to
// come.
func parseRetryAfter(header http.Header, received time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		received = date
	}
	return min(max(until.Sub(received), 0), maxRetryAfter)
}

// clockSkew is the answer's Date less the local time of its receipt, and by how much more it may be; 0 and 0
// when the answer is undated.
func clockSkew(header http.Header, sent, received time.Time) (skew, doubt time.Duration) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return 0, 0
	}
	return date.Sub(received), time.Second + max(received.Sub(sent), 0)
}

// requestID is the X-Request-ID, without what no such ID needs. It is empty when that leaves the key, whose letters may have stood
// apart.
func requestID(header http.Header, key redact.String) string {
	needed := func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9', strings.ContainsRune("._:-", r):
			return r
		}
		return -1
	}
	id := strings.Map(needed, withoutKey(header.Get("X-Request-ID"), key))
	if letters := strings.Map(needed, key.Reveal()); letters != "" && strings.Contains(id, letters) {
		return ""
	}
	return redact.Cut(id, maxRequestID)
}
