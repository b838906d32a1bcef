package workos

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// maxErrors bounds how many items of "errors" a message lists.
const maxErrors = 8

// codes are the values of "code" that say more than the status of the answer.
var codes = map[string]Outcome{
	"account_selection_required": OutcomeAccountSelectionRequired,
	"auth_method_mismatch":       OutcomeAuthMethodMismatch,
	"concurrent_request":         OutcomeBusy,
	"refresh_in_progress":        OutcomeBusy,
}

// decodeRefusal reads an answer that is not a success. WorkOS does not promise a JSON body for it.
func decodeRefusal(status int, body []byte, key redact.String) Answer {
	refusal, _ := readMembers(body)
	code, _ := refusal.text("code")
	outcome := refusalOutcome(status, code)
	message := ""
	if !isRedirect(status) && status != http.StatusProxyAuthRequired {
		message = quoted(refusalMessage(refusal), key, maxMessage)
	}
	return Answer{Outcome: outcome, Message: cmp.Or(message, quoted(statusMessage(status, code), key, maxMessage))}
}

// refusalOutcome decides by the status, and also by the code where WorkOS documents a code.
func refusalOutcome(status int, code string) Outcome {
	switch status {
	case http.StatusUnauthorized:
		return OutcomeKeyRejected
	case http.StatusForbidden:
		return OutcomeForbidden
	case http.StatusNotFound:
		return OutcomeNotFound
	case http.StatusTooManyRequests:
		return OutcomeRateLimited
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly, http.StatusProxyAuthRequired:
		return OutcomeUnavailable // They come from a proxy or gateway in front of WorkOS.
	case http.StatusConflict:
		if codes[code] == OutcomeAccountSelectionRequired {
			return OutcomeAccountSelectionRequired
		}
		return OutcomeBusy // A conflict with another request passes, whatever its code is.
	case http.StatusUnprocessableEntity:
		if codes[code] == OutcomeAuthMethodMismatch {
			return OutcomeAuthMethodMismatch
		}
	case http.StatusServiceUnavailable:
		if codes[code] == OutcomeBusy {
			return OutcomeBusy
		}
	}
	switch {
	case status >= 500:
		return OutcomeUnavailable
	case status >= 300:
		return OutcomeRejected
	}
	return OutcomeUnreadable
}

// refusalMessage returns the words of a refusal. They are "message" (a string or a list of
// strings), or else OAuth's "error_description", and the items of "errors".
func refusalMessage(refusal members) string {
	message := strings.Join(sentences(refusal["message"]), "; ")
	if redact.Printable(message) == "" {
		message, _ = refusal.text("error_description")
	}
	var details []string
	for _, item := range list(refusal["errors"]) {
		if detail := errorDetail(item); detail != "" && len(details) < maxErrors {
			details = append(details, detail)
		}
	}
	switch {
	case len(details) == 0:
		return message
	case redact.Printable(message) == "":
		return strings.Join(details, "; ")
	}
	return message + " " + strings.Join(details, "; ")
}

// sentences returns a string, or the strings of a list.
func sentences(raw json.RawMessage) []string {
	if sentence, ok := text(raw); ok {
		return []string{sentence}
	}
	var found []string
	for _, item := range list(raw) {
		if sentence, ok := text(item); ok {
			found = append(found, sentence)
		}
	}
	return found
}

// errorDetail puts an item of "errors" into words: "user_id: required", "user_id: must be a
// string (invalid)".
func errorDetail(raw json.RawMessage) string {
	if detail, ok := text(raw); ok {
		return detail
	}
	item, _ := readMembers(raw)
	field, _ := item.text("field")
	code, _ := item.text("code")
	message, _ := item.text("message")
	detail := cmp.Or(message, code)
	if message != "" && code != "" {
		detail += " (" + code + ")"
	}
	if field != "" && detail != "" {
		return field + ": " + detail
	}
	return cmp.Or(detail, field)
}

// isRedirect reports whether a status sends the caller to another address.
func isRedirect(status int) bool {
	return status >= 300 && status <= 399 && status != http.StatusNotModified
}

// statusMessage is the text for an answer without a message of its own. For a redirect it does
// not name the target: a condition must not help a user to explore the operator's network.
func statusMessage(status int, code string) string {
	message := httpStatus(status)
	switch {
	case isRedirect(status):
		return message + ": the answer is a redirect, and the operator follows none; " +
			"check spec.baseURL of the PipesEnvironment"
	case status == http.StatusProxyAuthRequired:
		return "the proxy refuses the request: " + message
	}
	if code != "" {
		message += " (" + code + ")"
	}
	return message
}

// httpStatus returns a status with its name.
func httpStatus(status int) string {
	if name := http.StatusText(status); name != "" {
		return fmt.Sprintf("HTTP %d %s", status, name)
	}
	return fmt.Sprintf("HTTP %d", status)
}
