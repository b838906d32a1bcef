// Package finding describes what is wrong with an object: a reason of its Ready condition, and
// what a person should know and do.
package finding

import (
	"fmt"
	"strings"
	"time"
)

// Finding is the problem because of which an object does not have what it should have. The zero
// Finding means that the object has no problem. Findings can be compared.
type Finding struct {
	// Reason is a reason of the Ready condition.
	Reason string
	// Message says what the problem is and how to fix it. It stays the same while the problem
	// lasts.
	Message string
	// NotBefore is until when WorkOS has asked to wait, in whole seconds. Zero: it has not asked.
	NotBefore time.Time
	// Quote is the message of WorkOS.
	Quote string
	// RequestID is the ID of WorkOS's answer, which the support of WorkOS asks for. It differs in
	// each answer.
	RequestID string
	// Remains says why a token that must be removed may still be in the Secret. Empty: no token
	// has to be removed, or it was removed.
	Remains string
}

// New returns a Finding with a message.
func New(reason, message string) Finding { return Finding{Reason: reason, Message: message} }

// Newf returns a Finding with a formatted message.
func Newf(reason, format string, args ...any) Finding {
	return New(reason, fmt.Sprintf(format, args...))
}

// Present reports whether there is a problem.
func (f Finding) Present() bool { return f.Reason != "" }

// Text returns all of the Finding but the reason, as the message of a condition.
func (f Finding) Text() string {
	text := f.Cause()
	if f.Remains != "" {
		text += ". The token is still in the Secret: " + f.Remains
	}
	return text
}

// Cause returns Text without what became of the token in the Secret.
func (f Finding) Cause() string {
	text := f.repeated()
	if f.RequestID != "" {
		text += requestID + f.RequestID + ")"
	}
	return text
}

const (
	notBefore = " (not before "
	requestID = " (request ID "
)

// repeated returns the part of the text that stays the same while the problem lasts.
func (f Finding) repeated() string {
	text := f.Message + f.wait()
	if f.Quote != "" {
		text += ": " + f.Quote
	}
	return text
}

func (f Finding) wait() string {
	if f.NotBefore.IsZero() {
		return ""
	}
	return notBefore + Instant(f.NotBefore) + ")"
}

// Repeats reports whether f brings nothing new for a person who has read before, so that the
// status need not be written again. A new request ID is nothing new. If WorkOS was not asked
// (unsent), f lacks the words of WorkOS, and only another wait is new.
//
// before may come from a status, which has the whole text as its Message. Therefore texts are
// compared.
func (f Finding) Repeats(before Finding, unsent bool) bool {
	known, wait := before.Cause(), f.wait()
	switch {
	case f.Reason != before.Reason:
		return false
	case unsent && wait == "":
		return !strings.Contains(known, notBefore)
	case unsent:
		return strings.Contains(known, wait)
	default:
		rest, begins := strings.CutPrefix(known, f.repeated())
		return begins && (rest == "" || strings.HasPrefix(rest, requestID))
	}
}

// Instant formats a time for a message.
func Instant(at time.Time) string { return at.UTC().Format(time.RFC3339) }
