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
	// maxRetryAfter bounds every wait that this package asks for, so that no header blocks a
	// key for good.
	maxRetryAfter = time.Hour
	// defaultRetryAfter is the wait after a 429 that names none. It is long enough to stop the
	// calls that would follow for a key that is over its limit, and short enough for the
	// spurious 429s that WorkOS has sent (July 2025).
	defaultRetryAfter = time.Second
	// rejectedRetryAfter is how long no request is sent with a rejected key (401).
	rejectedRetryAfter = 30 * time.Second
)

// retryAfter returns how long the status and the headers of an answer ask to wait, at most an
// hour. It is 0 when they do not ask to wait.
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

// parseRetryAfter reads both forms of RFC 9110, section 10.2.3: seconds, and an HTTP date. It
// compares a date with the answer's own Date header, so that a wrong local clock does not
// matter. It returns 0 when the header is absent or invalid, or when its date has passed.
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

// clockSkew returns the answer's Date minus the local time of its receipt, and by how much the
// true difference may be larger. Both are 0 when the answer has no Date.
func clockSkew(header http.Header, sent, received time.Time) (skew, doubt time.Duration) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return 0, 0
	}
	return date.Sub(received), time.Second + max(received.Sub(sent), 0)
}

// requestID returns the X-Request-ID without the characters that no request ID needs. The key is
// redacted, because some upstreams and proxies echo the request. The result is empty if it still
// contains the key, which the removed characters may have split.
func requestID(header http.Header, key redact.String) string {
	needed := func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9', strings.ContainsRune("._:-", r):
			return r
		}
		return -1
	}
	id := strings.Map(needed, redact.Exact(header.Get("X-Request-ID"), key))
	if letters := strings.Map(needed, key.Reveal()); letters != "" && strings.Contains(id, letters) {
		return ""
	}
	return redact.Cut(id, maxRequestID)
}
