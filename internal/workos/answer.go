package workos

import (
	"slices"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// Outcome is the result of asking for a token. The set is closed (see Outcomes), and its values
// are used as metric labels.
type Outcome string

// The outcomes and their causes. The HTTP statuses are those of WorkOS's public OpenAPI
// specification of August 2026.
const (
	// OutcomeToken means that WorkOS returned a token (2xx, active true). The token may have
	// expired.
	OutcomeToken Outcome = "token"
	// OutcomeNotInstalled means that the user never connected the integration, or disconnected
	// it (2xx, active false).
	OutcomeNotInstalled Outcome = "not_installed"
	// OutcomeNeedsReauthorization means that the user has to authorize the integration again
	// (2xx, active false).
	OutcomeNeedsReauthorization Outcome = "needs_reauthorization"
	// OutcomeInactive means active false without a reason, or with a reason that this package
	// does not know.
	OutcomeInactive Outcome = "inactive"
	// OutcomeKeyRejected means that WorkOS rejects the API key (401). When Sent is false,
	// WorkOS rejected the key a moment ago, and this call was not sent.
	OutcomeKeyRejected Outcome = "key_rejected"
	// OutcomeNotFound means that the integration, the user or the organization does not exist
	// (404).
	OutcomeNotFound Outcome = "not_found"
	// OutcomeAccountSelectionRequired means that several connections match (409 or active
	// false, with the code account_selection_required).
	OutcomeAccountSelectionRequired Outcome = "account_selection_required"
	// OutcomeAuthMethodMismatch means that the connected account uses another method than the
	// request (422 or active false, with the code auth_method_mismatch, or a credential of
	// another method).
	OutcomeAuthMethodMismatch Outcome = "auth_method_mismatch"
	// OutcomeBusy means that another request is changing the connection at the moment: 409 with
	// any other code or without a code, or 503 or active false with the code concurrent_request
	// or refresh_in_progress. It concerns only this connection and passes by itself. It closes
	// no gate, and the circuit counts it as an answer.
	OutcomeBusy Outcome = "busy"
	// OutcomeForbidden means that the API key or the user may not use this connection (403). For
	// a connection of an organization the user may not be one of its active members.
	OutcomeForbidden Outcome = "forbidden"
	// OutcomeRejected means any other 4xx, and every 3xx, because redirects are never followed.
	OutcomeRejected Outcome = "rejected"
	// OutcomeRateLimited means that WorkOS limits the rate of the API key (429). When Sent is
	// false, it did so for an earlier call, and the wait is not over.
	OutcomeRateLimited Outcome = "rate_limited"
	// OutcomeUnavailable means 5xx, 407, 408, 421, 425, a timeout, or no connection. When Sent is
	// false, the wait after an earlier 503 is not over, or the circuit of the integration is open.
	OutcomeUnavailable Outcome = "unavailable"
	// OutcomeUnreadable means a response that cannot be read: a 2xx without the documented JSON
	// or with a token that cannot be valid, or a 1xx.
	OutcomeUnreadable Outcome = "unreadable"
	// OutcomeEvents is the answer to a request for events. A request for a token never has it.
	OutcomeEvents Outcome = "events"
	// OutcomeHeld means that the call has no answer yet. The requests per minute of the key are
	// used up, the last request for the connection is less than 5 s old, or a request is still
	// under way.
	OutcomeHeld Outcome = "held"
)

// Outcomes returns the outcomes of a request for a token in the order of their declaration.
// Metrics use it to start each outcome at zero.
func Outcomes() []Outcome {
	return []Outcome{
		OutcomeToken, OutcomeNotInstalled, OutcomeNeedsReauthorization, OutcomeInactive, OutcomeKeyRejected,
		OutcomeNotFound, OutcomeAccountSelectionRequired, OutcomeAuthMethodMismatch, OutcomeBusy,
		OutcomeForbidden, OutcomeRejected, OutcomeRateLimited, OutcomeUnavailable, OutcomeUnreadable, OutcomeHeld,
	}
}

// Authoritative reports whether WorkOS itself must have given the answer: it accepted the API
// key and answered for this connection. Any other answer may come from a proxy on the way.
func (o Outcome) Authoritative() bool {
	switch o {
	case OutcomeToken, OutcomeNotInstalled, OutcomeNeedsReauthorization, OutcomeInactive, OutcomeEvents,
		OutcomeNotFound, OutcomeAccountSelectionRequired, OutcomeAuthMethodMismatch:
		return true
	default:
		return false
	}
}

// Token is a token as WorkOS returned it: an access token, or an API key.
type Token struct {
	// Value is the token: 1 to 65536 visible ASCII characters.
	Value redact.String
	// ExpiresAt is the expiry that WorkOS sent, in UTC, including fractions of a second. It is
	// zero when WorkOS sent no expiry.
	ExpiresAt time.Time
	// Scopes are the scopes of the token. MissingScopes are configured for the integration but
	// were not granted. Each list has at most MaxScopes items of at most 512 printable
	// characters, and about 16 KiB in total (see Truncated). An empty list is nil.
	Scopes, MissingScopes []string
	// Metadata and Config are what WorkOS returns beside a credential, such as the URL of an
	// instance: a JSON object of at most 16 KiB each, in canonical form. Config has only strings.
	// They are empty for an access token from the token endpoint, and where WorkOS returns none.
	Metadata, Config redact.String
}

// bytes returns about how many bytes the token takes in memory.
func (t Token) bytes() int {
	size := len(t.Value.Reveal()) + len(t.Metadata.Reveal()) + len(t.Config.Reveal())
	for _, scopes := range [][]string{t.Scopes, t.MissingScopes} {
		for _, scope := range scopes {
			size += len(scope)
		}
	}
	return size
}

// Answer is the result of asking for a token.
type Answer struct {
	Outcome Outcome
	// Token is set for OutcomeToken only.
	Token Token
	// Message is for people: at most 256 printable characters, and empty for OutcomeToken. It
	// is a fixed text of this package, or the text of "message", "errors" or
	// "error_description" in WorkOS's JSON. For OutcomeInactive it names the reason that WorkOS
	// gave. It is never a response body, and never contains the key or text that looks like a
	// credential. When Sent is false it is a fixed text, because WorkOS's words about one
	// connection are not for users of another connection.
	Message string
	// RequestID is WorkOS's X-Request-ID, which WorkOS's support asks for: at most 128
	// characters of [A-Za-z0-9._:-]. It is empty when WorkOS sent none, and when Sent is false.
	RequestID string
	// RetryAfter is how long the caller must wait before it asks again, at most an hour. Zero
	// means that WorkOS and this package ask for no wait. After a 401 it is 30 s, and after a
	// 429 or 503 it comes from the Retry-After header (1 s for a 429 without the header). For a
	// call that was held back it is the rest of the wait for a closed gate, an open circuit,
	// the budget, the 5 s between two requests, or the request that is under way. Callers that
	// a gate or a circuit holds back get different times, and Upstream.OnRecovery calls them
	// back earlier if they may leave earlier.
	RetryAfter time.Duration
	// Until is the time until which WorkOS asked to wait with 429 or 503, in whole seconds, if
	// that was a minute or more. It is the same for all callers that this holds back. Otherwise
	// it is zero.
	Until time.Time
	// Down says that the integration counts as down, because its circuit is open. RetryAfter
	// then says when this connection may probe, and replaces the caller's back-off.
	Down bool
	// Epoch changes when calls that were held back may leave. Compare it with Client.Epoch.
	Epoch uint64
	// ClockSkew is WorkOS's clock (the Date header, in whole seconds) minus the local clock at
	// the receipt of the response. It is zero when unknown.
	ClockSkew time.Duration
	// ClockDoubt is how much larger than ClockSkew the true difference may be. The header has
	// whole seconds, and WorkOS writes it at some time between the request and the receipt of
	// the response. It is zero when the difference is unknown.
	ClockDoubt time.Duration
	// Sent says whether a request was made for this answer. All callers that share one request
	// see true. It is false when the call was held back by a closed gate, an open circuit, the
	// budget or the 5 s between two requests, and when the request is still under way.
	Sent bool
	// Took is the time from when the request was sent until the response was read. It is zero if
	// no request was made, and for an answer that an earlier caller has already got.
	Took time.Duration
}

// Trouble says why calls are held back. Everybody may read it: it contains nothing that WorkOS
// said to one connection.
type Trouble struct {
	// Outcome is OutcomeUnavailable when WorkOS or an integration is down, and
	// OutcomeRateLimited when WorkOS limits the rate, or did so within the last minute.
	Outcome Outcome
	// Until has the same meaning as Answer.Until.
	Until time.Time
}

// clone copies the slices, because identical calls share one answer.
func (a Answer) clone() Answer {
	a.Token.Scopes = slices.Clone(a.Token.Scopes)
	a.Token.MissingScopes = slices.Clone(a.Token.MissingScopes)
	return a
}
