package finding_test

import (
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/finding"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func full() finding.Finding {
	found := finding.New("RateLimited", "WorkOS limits the rate")
	found.NotBefore, found.Quote, found.RequestID = noon, "Slow down", "req_1"
	return found
}

func TestTextIsWhatAPersonReads(t *testing.T) {
	found := full()
	const cause = "WorkOS limits the rate (not before 2026-11-23T12:00:00Z): Slow down (request ID req_1)"
	if got := found.Text(); got != cause {
		t.Errorf("got %q", got)
	}
	found.Remains = "the API server is down"
	if got := found.Text(); got != cause+". The token is still in the Secret: the API server is down" {
		t.Errorf("got %q", got)
	}
	if got := found.Cause(); got != cause {
		t.Errorf("the cause is %q", got)
	}
	if got := finding.Newf("SecretConflict", "Secret %q is taken", "github").Text(); got != `Secret "github" is taken` {
		t.Errorf("got %q", got)
	}
}

// A status that changed with each attempt would be written with each attempt. Each case is tried
// against the finding itself, and against what a status has of it.
func TestRepeatsOnlyWithoutNews(t *testing.T) {
	for name, test := range map[string]struct {
		change        func(next, before *finding.Finding)
		sent, notSent bool
	}{
		"nothing":                  {func(_, _ *finding.Finding) {}, true, true},
		"another request ID":       {func(next, _ *finding.Finding) { next.RequestID = "req_2" }, true, true},
		"no request ID":            {func(next, _ *finding.Finding) { next.RequestID = "" }, true, true},
		"another reason":           {func(next, _ *finding.Finding) { next.Reason = "UpstreamUnavailable" }, false, false},
		"another message":          {func(next, _ *finding.Finding) { next.Message = "WorkOS is down" }, false, true},
		"other words of WorkOS":    {func(next, _ *finding.Finding) { next.Quote = "Slower" }, false, true},
		"fewer words of WorkOS":    {func(next, _ *finding.Finding) { next.Quote = "Slow" }, false, true},
		"no words of WorkOS":       {func(next, _ *finding.Finding) { next.Quote = "" }, false, true},
		"another wait":             {func(next, _ *finding.Finding) { next.NotBefore = noon.Add(time.Minute) }, false, false},
		"the wait is over":         {func(next, _ *finding.Finding) { next.NotBefore = time.Time{} }, false, false},
		"the first wait":           {func(_, before *finding.Finding) { before.NotBefore = time.Time{} }, false, false},
		"the token is still there": {func(_, before *finding.Finding) { before.Remains = "a finalizer" }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			next, before := full(), full()
			test.change(&next, &before)
			for _, known := range []finding.Finding{before, finding.New(before.Reason, before.Cause())} {
				if got := next.Repeats(known, false); got != test.sent {
					t.Errorf("sent: %t after %q", got, known.Text())
				}
				if got := next.Repeats(known, true); got != test.notSent {
					t.Errorf("not sent: %t after %q", got, known.Text())
				}
			}
		})
	}
}

func TestNoFindingIsNotPresent(t *testing.T) {
	if (finding.Finding{}).Present() || !full().Present() {
		t.Error("present is the wrong one")
	}
}
