package workos

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// fuzzKey is an API key that must not appear in any text.
const fuzzKey = "sk_test_canary"

// FuzzRetryAfter checks that no pair of headers, read at any instant, gives a wait that is
// negative or longer than an hour. A number means seconds. A date is compared with the answer's
// own Date, so that the local clock does not matter if the answer has a Date.
func FuzzRetryAfter(f *testing.F) {
	f.Add("17", "", int64(1_795_000_000), int64(0))
	f.Fuzz(func(t *testing.T, value, date string, seconds, nanoseconds int64) {
		received := time.Unix(seconds, nanoseconds)
		header := http.Header{"Retry-After": {value}, "Date": {date}}
		wait := parseRetryAfter(header, received)
		if wait < 0 || wait > maxRetryAfter {
			t.Errorf("the wait is %v", wait)
		}
		if want, ok := secondsOf(value); ok && wait != want {
			t.Errorf("%q is read as %v, want %v", value, wait, want)
		}
		_, dated := http.ParseTime(date)
		if another := parseRetryAfter(header, received.Add(time.Minute)); dated == nil && another != wait {
			t.Errorf("%v a minute later, although the answer is dated; %v before", another, wait)
		}
		skew, doubt := clockSkew(header, received.Add(-time.Second), received)
		if dated != nil && (skew != 0 || doubt != 0) || dated == nil && doubt != 2*time.Second {
			t.Errorf("the skew for date %q is %v, and %v more", date, skew, doubt)
		}
		for status := range 1000 {
			got := retryAfter(status, header, received)
			if status == http.StatusTooManyRequests && got < time.Second && wait == 0 || got < 0 || got > maxRetryAfter {
				t.Errorf("%d waits for %v", status, got)
			}
		}
	})
}

// secondsOf reads plain decimal digits without a library, and refuses any other text.
func secondsOf(value string) (time.Duration, bool) {
	if value == "" {
		return 0, false
	}
	var total time.Duration
	for _, digit := range []byte(value) {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		total = min(10*total+time.Duration(digit-'0')*time.Second, maxRetryAfter)
	}
	return total, true
}

// FuzzRequestID checks that the request ID is short and never contains the key, no matter how
// the header hides the key. Reading the result again must not change it.
func FuzzRequestID(f *testing.F) {
	f.Add("9f2c1a3e-1111-4c1c-8a55-0a3e6d9b7c10")
	f.Fuzz(func(t *testing.T, value string) {
		id := requestID(http.Header{"X-Request-Id": {value}}, redact.NewString(fuzzKey))
		if len(id) > maxRequestID || strings.Contains(id, fuzzKey) {
			t.Errorf("got %q", id)
		}
		if again := requestID(http.Header{"X-Request-Id": {id}}, redact.NewString(fuzzKey)); again != id {
			t.Errorf("%q becomes %q", id, again)
		}
	})
}

// FuzzQuoted checks that quoted text is one printable line of bounded length without the key.
// Quoting it again must not change it, unless it was cut.
func FuzzQuoted(f *testing.F) {
	f.Add("No such integration.", 256)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		if limit < 0 || limit > 1024 {
			return
		}
		key := redact.NewString(fuzzKey)
		line := quoted(text, key, limit)
		if !utf8.ValidString(line) || utf8.RuneCountInString(line) > limit || strings.Contains(line, fuzzKey) {
			t.Errorf("got %q", line)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.Contains(line, "  ") {
			t.Errorf("not a printable line: %q", line)
		}
		if again := quoted(line, key, limit); again != line && utf8.RuneCountInString(redact.Text(text, key)) <= limit {
			t.Errorf("%q becomes %q", line, again)
		}
	})
}
