package workossim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// answer is the decision about a call: what to send, and how.
type answer struct {
	status     int
	result     string // for the journal
	token      issued // the token in the answer; zero: none
	requestID  string
	retryAfter string
	allow      string

	contentType string
	body        []byte
	// payload is the source of body if the status is 200.
	payload *payload

	delivery   delivery
	latency    time.Duration
	holds      []<-chan struct{}
	dateOffset time.Duration
}

// payload is the JSON of an answer of status 200. It has two shapes, which only active tells
// apart.
type payload struct {
	Active      bool          `json:"active"`
	AccessToken *tokenPayload `json:"access_token,omitempty"`
	Error       string        `json:"error,omitempty"`
	Extra       *extraPayload `json:"x_future_object,omitempty"`
}

type tokenPayload struct {
	Object        string   `json:"object"`
	AccessToken   string   `json:"access_token"`
	ExpiresAt     *string  `json:"expires_at"`
	Scopes        []string `json:"scopes"`
	MissingScopes []string `json:"missing_scopes"`
	Extra         string   `json:"x_future_field,omitempty"`
}

// extraPayload is an object that no version of WorkOS has sent so far.
type extraPayload struct {
	Kind  string   `json:"kind"`
	Items []string `json:"items"`
}

type errorPayload struct {
	Message string       `json:"message"`
	Code    string       `json:"code,omitempty"`
	Errors  []fieldError `json:"errors,omitempty"`
}

type fieldError struct {
	Code  string `json:"code"`
	Field string `json:"field"`
}

const (
	typeJSON = "application/json; charset=utf-8"
	typeHTML = "text/html; charset=utf-8"

	// timeFormat is RFC 3339 with milliseconds, as in WorkOS's examples.
	timeFormat = "2006-01-02T15:04:05.000Z07:00"

	htmlPage = "<!DOCTYPE html>\n<html><head><title>%[1]d %[2]s</title></head>\n" +
		"<body><center><h1>%[1]d %[2]s</h1></center></body></html>\n"
)

// tokenAnswer returns an answer with the token of the account.
func tokenAnswer(a *account) *answer {
	var expiresAt *string
	if !a.token.expires.IsZero() {
		formatted := a.token.expires.UTC().Format(timeFormat)
		expiresAt = &formatted
	}
	return &answer{
		status: http.StatusOK,
		result: ResultToken,
		token:  a.token.issued,
		payload: &payload{Active: true, AccessToken: &tokenPayload{
			Object:        "access_token",
			AccessToken:   a.token.value,
			ExpiresAt:     expiresAt,
			Scopes:        append([]string{}, a.Scopes...), // [], never null
			MissingScopes: append([]string{}, a.MissingScopes...),
		}},
	}
}

// inactiveAnswer returns an answer that says that no token is available.
func inactiveAnswer(state State) *answer {
	return &answer{status: http.StatusOK, result: string(state), payload: &payload{Error: string(state)}}
}

// messageAnswer returns an error with the only key that WorkOS promises.
func messageAnswer(status int, result, message string) *answer {
	return jsonError(status, result, errorPayload{Message: message})
}

func validationAnswer(result string, errs ...fieldError) *answer {
	return jsonError(http.StatusUnprocessableEntity, result, errorPayload{Message: "Validation failed.", Errors: errs})
}

// statusAnswer returns the error that WorkOS sends with a status.
func statusAnswer(status int, result string) *answer {
	if status >= http.StatusInternalServerError {
		page := fmt.Sprintf(htmlPage, status, http.StatusText(status))
		return &answer{status: status, result: result, contentType: typeHTML, body: []byte(page)}
	}
	switch status {
	case http.StatusUnauthorized: // WorkOS promises no body
		return &answer{status: status, result: result}
	case http.StatusConflict:
		return jsonError(status, result, errorPayload{
			Code:    "account_selection_required",
			Message: "Several connected accounts match; an account has to be selected.",
		})
	case http.StatusUnprocessableEntity:
		return jsonError(status, result, errorPayload{
			Code:    "auth_method_mismatch",
			Message: "The connected account does not use OAuth.",
		})
	case http.StatusTooManyRequests:
		return jsonError(status, result, errorPayload{
			Code:    "rate_limit_exceeded",
			Message: "Rate limit exceeded.",
		})
	default:
		return messageAnswer(status, result, cmp.Or(http.StatusText(status), "Error"))
	}
}

func jsonError(status int, result string, e errorPayload) *answer {
	return &answer{status: status, result: result, contentType: typeJSON, body: mustMarshal(e)}
}

// mustMarshal encodes the payloads of this file. They contain only values that can be encoded.
func mustMarshal(v any) []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("workossim: encoding %T: %v", v, err))
	}
	return encoded
}

// replacement returns the answer that a fault sends in place of WorkOS.
func replacement(f *Fault) *answer {
	result := string(f.Kind)
	switch f.Kind {
	case FaultTimeout:
		return &answer{result: result, delivery: neverDeliver}
	case FaultReset:
		return &answer{result: result, delivery: resetConnection}
	case FaultEndlessBody:
		return &answer{status: http.StatusOK, result: result, contentType: typeJSON, delivery: deliverEndlessly}
	case FaultValidation:
		return validationAnswer(result, fieldError{Code: "invalid", Field: "user_id"})
	case FaultRateLimited:
		return statusAnswer(http.StatusTooManyRequests, result)
	case FaultServerError:
		return statusAnswer(http.StatusInternalServerError, result)
	case FaultAccountSelection:
		return statusAnswer(http.StatusConflict, result)
	case FaultAuthMethodMismatch:
		return statusAnswer(http.StatusUnprocessableEntity, result)
	default:
		return statusAnswer(f.Status, result)
	}
}

// spoilPayload changes the JSON of an answer of status 200 before it is encoded.
func spoilPayload(a *answer, kind FaultKind, now time.Time) {
	p := a.payload
	switch kind {
	case FaultNoToken:
		p.AccessToken, a.token = nil, issued{}
	case FaultEmptyToken:
		p.AccessToken.AccessToken, a.token = "", issued{}
	case FaultControlCharacters:
		p.AccessToken.AccessToken += "\r\nX-Injected: 1\x00\x1b[31m"
	case FaultActiveWithError:
		p.Error = string(NeedsReauthorization)
	case FaultExpiredToken:
		past := now.Add(-time.Hour).Format(timeFormat)
		p.AccessToken.ExpiresAt = &past
	case FaultUnknownError:
		*p, a.token = payload{Error: "provider_under_maintenance"}, issued{}
	case FaultExtraFields:
		p.Extra = &extraPayload{Kind: "unknown", Items: []string{"one", "two"}}
		if p.AccessToken != nil {
			p.AccessToken.Extra = "unknown"
		}
	}
}

// spoilBody changes the encoded JSON of an answer of status 200.
func spoilBody(a *answer, kind FaultKind) {
	switch kind {
	case FaultMalformedJSON:
		a.body = append(slices.Clip(a.body[:len(a.body)-1]), ",]"...)
	case FaultTruncatedJSON:
		a.delivery = deliverHalf
	}
}
