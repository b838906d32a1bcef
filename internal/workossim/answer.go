package workossim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// answer is the decision about a call: what to send, and how.
type answer struct {
	status     int
	result     string // for the journal
	token      issued // the token in the answer; zero: none
	items      int    // events in the answer
	requestID  string
	retryAfter string
	allow      string

	contentType string
	body        []byte
	// One of payload and plain is the source of body if the status is 200.
	payload *payload
	plain   any

	delivery   delivery
	latency    time.Duration
	holds      []<-chan struct{}
	dateOffset time.Duration
}

type errorPayload struct {
	Message string       `json:"message"`
	Code    string       `json:"code,omitempty"`
	Errors  []fieldError `json:"errors,omitempty"`
}

// fieldError is one item of a validation error. An item has a field or a message.
type fieldError struct {
	Code    string `json:"code"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message,omitempty"`
}

const (
	typeJSON = "application/json; charset=utf-8"
	typeHTML = "text/html; charset=utf-8"

	// timeFormat is RFC 3339 with milliseconds, as in WorkOS's examples.
	timeFormat = "2006-01-02T15:04:05.000Z07:00"

	htmlPage = "<!DOCTYPE html>\n<html><head><title>%[1]d %[2]s</title></head>\n" +
		"<body><center><h1>%[1]d %[2]s</h1></center></body></html>\n"

	validationMessage = "Validation failed."
)

// plainAnswer returns an answer of status 200 that contains no token.
func plainAnswer(result string, content any) *answer {
	return &answer{status: http.StatusOK, result: result, plain: content}
}

// messageAnswer returns an error with the only key that WorkOS promises.
func messageAnswer(status int, result, message string) *answer {
	return jsonError(status, result, errorPayload{Message: message})
}

// validationAnswer returns the error about parameters that are wrong.
func (s *Simulator) validationAnswer(result string, errs ...fieldError) *answer {
	if !s.validationCode {
		return jsonError(http.StatusUnprocessableEntity, result, errorPayload{Message: validationMessage, Errors: errs})
	}
	messages := make([]fieldError, 0, len(errs))
	for _, e := range errs {
		text := e.Field + " is " + e.Code
		messages = append(messages, fieldError{Code: e.Code, Message: text})
	}
	return jsonError(http.StatusUnprocessableEntity, result,
		errorPayload{Code: "invalid_request_parameters", Message: validationMessage, Errors: messages})
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

// mustMarshal encodes answers. They contain only values that can be encoded, except the Metadata
// and the Data of a mistaken caller.
func mustMarshal(v any) []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("workossim: encoding %T: %v", v, err))
	}
	return encoded
}
