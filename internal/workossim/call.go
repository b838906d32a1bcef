package workossim

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// maxRequestBytes is far more than a request needs.
const maxRequestBytes = 1 << 20

// call is a parsed request.
type call struct {
	id        ID
	key       string
	userAgent string
	proto     string
	// stray is the answer to a request that is not a call of the token endpoint. It is nil for
	// a call of the endpoint.
	stray *answer
	// flaw is the answer to a call whose body is wrong, sent after its key has been accepted.
	// It is nil if the body is right.
	flaw *answer
}

// readCall parses a request. It reads the body to its end, because only then does net/http
// notice that a caller hangs up.
func readCall(r *http.Request) call {
	c := call{
		key:       bearerKey(r.Header.Get("Authorization")),
		userAgent: r.UserAgent(),
		proto:     r.Proto,
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestBytes+1))
	slug, found := slugOf(r.URL)
	c.id.Slug = slug
	switch {
	case !found:
		c.stray = messageAnswer(http.StatusNotFound, ResultUnknownPath, "Not Found")
	case r.Method != http.MethodPost:
		c.stray = messageAnswer(http.StatusMethodNotAllowed, ResultMethodNotAllowed, "Method Not Allowed")
	case err != nil || len(body) > maxRequestBytes:
		c.flaw = messageAnswer(http.StatusBadRequest, ResultBadRequest, "The request body cannot be read.")
	case !isJSON(r.Header.Get("Content-Type")):
		c.flaw = messageAnswer(http.StatusBadRequest, ResultBadRequest, "The Content-Type must be application/json.")
	default:
		c.id.UserID, c.id.OrganizationID, c.flaw = readParameters(body)
	}
	return c
}

// slugOf finds the slug in /data-integrations/{slug}/token. It uses the path as it was sent: an
// escaped slash belongs to the slug, and .. is a slug like any other unknown one.
func slugOf(u *url.URL) (slug string, found bool) {
	rest, underPrefix := strings.CutPrefix(u.EscapedPath(), "/data-integrations/")
	escaped, isToken := strings.CutSuffix(rest, "/token")
	if !underPrefix || !isToken || escaped == "" || strings.Contains(escaped, "/") {
		return "", false
	}
	slug, err := url.PathUnescape(escaped)
	return slug, err == nil
}

func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == "application/json"
}

// readParameters reads the user and the organization from a request body. organization_id is
// missing or null if there is no organization. An empty string is rejected, because no
// organization has that ID.
func readParameters(body []byte) (userID, organizationID string, flaw *answer) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return "", "", messageAnswer(http.StatusBadRequest, ResultBadRequest, "The request body is not a JSON object.")
	}
	userID, userGiven, userGood := text(fields["user_id"])
	organizationID, _, organizationGood := text(fields["organization_id"])
	var errs []fieldError
	switch {
	case !userGiven:
		errs = append(errs, fieldError{Code: "required", Field: "user_id"})
	case !userGood:
		errs = append(errs, fieldError{Code: "invalid", Field: "user_id"})
	}
	if !organizationGood {
		errs = append(errs, fieldError{Code: "invalid", Field: "organization_id"})
	}
	if errs != nil {
		flaw = validationAnswer(ResultInvalid, errs...)
	}
	return userID, organizationID, flaw
}

// text reads a JSON value that should be a string that is not empty. A missing value and null
// count as not given, and as good.
func text(raw json.RawMessage) (value string, given, good bool) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", false, true
	}
	err := json.Unmarshal(raw, &value)
	return value, true, err == nil && value != ""
}
