package workos

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// maxToken bounds a token, in bytes. The tokens of known providers stay below 4 KiB, and no
// server accepts a header of more than 64 KiB.
const maxToken = 64 << 10

// decode reads the status and the body of an answer, and sets Outcome, Token and Message. It is
// a pure function. readErr is the error from reading the body. key is needed only to redact it
// in quoted text. method is the method that the request asked for.
func decode(status int, body []byte, readErr error, key redact.String, method Method) Answer {
	switch success := status >= 200 && status <= 299; {
	case !success && readErr != nil:
		return decodeRefusal(status, nil, key)
	case !success:
		return decodeRefusal(status, body, key)
	case errors.Is(readErr, errTooLong):
		return unreadable("the answer is longer than 1 MiB")
	case errors.Is(readErr, errCompressed):
		return unreadable("the answer is compressed, which the request does not allow")
	case isTimeout(readErr):
		return Answer{Outcome: OutcomeUnavailable, Message: failure(readErr)}
	case readErr != nil:
		return unreadable("the answer was cut short")
	}
	return decodeSuccess(body, key, method)
}

// decodeSuccess distinguishes the two shapes of an answer by "active" alone. Members that
// belong to the other shape are ignored, for example an "error" next to a token.
func decodeSuccess(body []byte, key redact.String, method Method) Answer {
	answer, err := readMembers(body)
	switch {
	case errors.Is(err, errNotAnObject):
		return unreadable("the answer is not a JSON object")
	case err != nil:
		return unreadable("the answer is not JSON")
	}
	switch string(answer["active"]) {
	case "true":
		if method != MethodOAuth {
			return decodeCredential(answer, key, method)
		}
		return decodeToken(answer, key)
	case "false":
		reason, _ := answer.text("error")
		return decodeInactive(reason, key)
	case "", "null":
		return unreadable("the answer does not say whether the connection is active")
	}
	return unreadable(`the answer's "active" is neither true nor false`)
}

// decodeInactive reads the reason why a connection is not active. A reason that is also a code
// of refusals has the same meaning here.
func decodeInactive(reason string, key redact.String) Answer {
	switch reason {
	case "not_installed":
		return Answer{Outcome: OutcomeNotInstalled, Message: "the user has not connected this integration"}
	case "needs_reauthorization":
		return Answer{Outcome: OutcomeNeedsReauthorization, Message: "the user has to authorize this integration again"}
	case "":
		return Answer{Outcome: OutcomeInactive, Message: "WorkOS gives no reason"}
	}
	return Answer{
		Outcome: cmp.Or(codes[reason], OutcomeInactive),
		Message: quoted("WorkOS gives the reason "+reason, key, maxMessage),
	}
}

// decodeToken reads the token of an active connection. WorkOS's specification requires all
// fields, and allows null only for expires_at. An absent expires_at is read as null, too:
// serializers often leave nulls out, but a known expiry does not get lost. To refuse it would
// take every token without an expiry from its users. A token without an expiry is fetched again
// at the refresh interval, and that corrects a mistake made here.
func decodeToken(answer members, key redact.String) Answer {
	if !answer.has("access_token") {
		return unreadable("the connection is active, but the answer holds no token")
	}
	object, err := readMembers(answer["access_token"])
	if err != nil {
		return unreadable(`the answer's "access_token" is not an object`)
	}
	token, problem := readToken(object, "access_token", "access_token", key)
	if problem != "" {
		return unreadable(problem)
	}
	return Answer{Outcome: OutcomeToken, Token: token}
}

// readToken reads the token from the member of that name of an object, with its expiry and its
// scopes. place is the name of the object. If the token cannot be used, problem says why.
func readToken(object members, place, name string, key redact.String) (token Token, problem string) {
	if token.Value, problem = readValue(object, place, name); problem != "" {
		return Token{}, problem
	}
	token.Scopes = readScopes(object["scopes"], key, token.Value)
	token.MissingScopes = readScopes(object["missing_scopes"], key, token.Value)
	if !object.has("expires_at") {
		return token, ""
	}
	expiry, ok := object.text("expires_at")
	if !ok {
		return Token{}, fmt.Sprintf(`the answer's "%s.expires_at" is neither a string nor null`, place)
	}
	var err error
	if token.ExpiresAt, err = parseExpiry(expiry); err != nil {
		return Token{}, fmt.Sprintf(`the answer's "%s.expires_at" is %v`, place, err)
	}
	return token, ""
}

// readValue returns the token itself, or a description of the problem.
func readValue(object members, place, name string) (token redact.String, problem string) {
	value, ok := object.text(name)
	switch {
	case !object.has(name), ok && value == "":
		return token, "the connection is active, but the answer holds no token"
	case !ok:
		return token, fmt.Sprintf(`the answer's "%s.%s" is not a string`, place, name)
	case len(value) > maxToken:
		return token, "the token is longer than 64 KiB"
	case !visibleASCII(value):
		return token, "the token holds characters that no access token can have"
	}
	return redact.NewString(value), ""
}

func unreadable(message string) Answer {
	return Answer{Outcome: OutcomeUnreadable, Message: message}
}
