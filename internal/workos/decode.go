package workos

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

const (
	// maxToken bounds a token, in bytes. Those of known providers stay below 4 KiB, and no server takes a header of
	// more than 64 KiB.
	maxToken = 64 << 10
	// maxScopes and maxScope bound the scopes in number and in characters, so that they fit a status.
	maxScopes, maxScope = 256, 512
)

// decode reads an answer's status and body. It is pure: key is only struck out of what is quoted, readErr is what
// reading the body came to. It sets Outcome, Token and Message.
func decode(status int, body []byte, readErr error, key redact.String) Answer {
	switch success := status >= 200 && status <= 299; {
	case !success && readErr != nil:
		return decodeRefusal(status, nil, key)
	case !success:
		return decodeRefusal(status, body, key)
	case errors.Is(readErr, errTooLong):
		return unreadable("the answer is longer than 1 MiB")
	case isTimeout(readErr):
		return Answer{Outcome: OutcomeUnavailable, Message: failure(readErr)}
	case readErr != nil:
		return unreadable("the answer was cut short")
	}
	return decodeSuccess(body, key)
}

// decodeRefusal goes by the status, and by the code for a 422. Nothing promises JSON here.
func decodeRefusal(status int, body []byte, key redact.String) Answer {
	var refusal struct {
		Code    json.RawMessage `json:"code"`
		Message json.RawMessage `json:"message"`
	}
	_ = json.Unmarshal(body, &refusal)
	return Answer{
		Outcome: refusalOutcome(status, text(refusal.Code)),
		Message: cmp.Or(quoted(text(refusal.Message), key, maxMessage), statusMessage(status)),
	}
}

func refusalOutcome(status int, code string) Outcome {
	switch {
	case status == http.StatusUnauthorized:
		return OutcomeKeyRejected
	case status == http.StatusNotFound:
		return OutcomeNotFound
	case status == http.StatusConflict:
		return OutcomeAccountSelectionRequired
	case status == http.StatusUnprocessableEntity && code == "auth_method_mismatch":
		return OutcomeAuthMethodMismatch
	case status == http.StatusTooManyRequests:
		return OutcomeRateLimited
	case status >= 500:
		return OutcomeUnavailable
	case status >= 300:
		return OutcomeRejected
	}
	return OutcomeUnreadable
}

// statusMessage is the fixed text for an answer that brings no message.
func statusMessage(status int) string {
	if name := http.StatusText(status); name != "" {
		return fmt.Sprintf("HTTP %d %s", status, name)
	}
	return fmt.Sprintf("HTTP %d", status)
}

// decodeSuccess tells the two shapes apart by active alone: what else an answer carries, an "error" next to a token
// included, is looked at only in the shape that it belongs to.
func decodeSuccess(body []byte, key redact.String) Answer {
	var shape struct {
		Active      *bool           `json:"active"`
		Error       json.RawMessage `json:"error"`
		AccessToken json.RawMessage `json:"access_token"`
	}
	switch err := json.Unmarshal(body, &shape); {
	case err != nil:
		return unreadable("the answer is not the JSON that WorkOS documents")
	case shape.Active == nil:
		return unreadable("the answer does not say whether the connection is active")
	case *shape.Active:
		return decodeToken(shape.AccessToken, key)
	}
	return decodeInactive(text(shape.Error), key)
}

func decodeInactive(reason string, key redact.String) Answer {
	switch reason {
	case "not_installed":
		return Answer{Outcome: OutcomeNotInstalled, Message: "the user has not connected this integration"}
	case "needs_reauthorization":
		return Answer{Outcome: OutcomeNeedsReauthorization, Message: "the user has to authorize this integration again"}
	case "":
		return Answer{Outcome: OutcomeInactive, Message: "WorkOS gives no reason"}
	}
	return Answer{Outcome: OutcomeInactive, Message: quoted("WorkOS gives the reason "+reason, key, maxMessage)}
}

// decodeToken reads the token of an active connection. The specification requires all its fields and lets only
// expires_at be null. An absent one is read as null too: leaving nulls out is what serializers do, whereas an
// expiry that is known does not get lost; refusing would take every token without an expiry from its users. A token
// without an expiry is asked for again at the refresh interval, so a mistake here heals.
func decodeToken(object []byte, key redact.String) Answer {
	var token struct {
		AccessToken   string     `json:"access_token"`
		ExpiresAt     *time.Time `json:"expires_at"`
		Scopes        []string   `json:"scopes"`
		MissingScopes []string   `json:"missing_scopes"`
	}
	if object == nil {
		return unreadable("the connection is active, but the answer holds no token")
	}
	if err := json.Unmarshal(object, &token); err != nil {
		return unreadable("the answer's token is not of the form that WorkOS documents")
	}
	switch {
	case token.AccessToken == "":
		return unreadable("the connection is active, but the answer holds no token")
	case len(token.AccessToken) > maxToken:
		return unreadable("the token is longer than 64 KiB")
	case !visibleASCII(token.AccessToken):
		return unreadable("the token holds characters that no access token can have")
	case token.ExpiresAt != nil && !plausibleExpiry(*token.ExpiresAt):
		return unreadable("the token's expiry is not a time of this era")
	}
	answer := Answer{Outcome: OutcomeToken, Token: Token{
		Value:         redact.NewString(token.AccessToken),
		Scopes:        boundedScopes(token.Scopes, key),
		MissingScopes: boundedScopes(token.MissingScopes, key),
	}}
	if token.ExpiresAt != nil {
		answer.Token.ExpiresAt = token.ExpiresAt.UTC()
	}
	return answer
}

// plausibleExpiry refuses the years that stand for "unset" (0001, 1970), one of which this package uses itself, and
// those that RFC 3339 cannot write in UTC. An expiry that has passed is plausible: what to do about it is the
// caller's.
func plausibleExpiry(t time.Time) bool {
	return t.Unix() > 0 && t.UTC().Year() <= 9999
}

func boundedScopes(scopes []string, key redact.String) []string {
	var bounded []string
	for _, scope := range scopes[:min(len(scopes), maxScopes)] {
		if scope = quoted(scope, key, maxScope); scope != "" {
			bounded = append(bounded, scope)
		}
	}
	return bounded
}

// text is a JSON string's text, and empty for every other value.
func text(value json.RawMessage) string {
	var s string
	_ = json.Unmarshal(value, &s)
	return s
}

func unreadable(message string) Answer {
	return Answer{Outcome: OutcomeUnreadable, Message: message}
}
