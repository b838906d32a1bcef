package workossim

import (
	"io"
	"mime"
	"net/http"
	"net/url"
)

// maxRequestBytes is far more than a request needs.
const maxRequestBytes = 1 << 20

// call is a parsed request.
type call struct {
	endpoint Endpoint // empty: none that the simulator has
	// id is the connection as far as the request names it.
	id ID
	// plural is supports_multiple_connections.
	plural bool
	query  url.Values // of a GET

	key       string
	userAgent string
	proto     string
	rawQuery  string
	// stray is the answer to a request that is not a call of an endpoint. It is nil for a call.
	stray *answer
	// flaw is the answer to a call whose body is wrong, sent after its key has been accepted.
	// It is nil if the body is right.
	flaw *answer
	// invalid are the parameters that are wrong. They are reported after the key has been
	// accepted.
	invalid []fieldError
}

// readCall parses a request. It reads the body to its end, because only then does net/http
// notice that a caller hangs up.
func readCall(r *http.Request) call {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestBytes+1))
	found, known := routeOf(r.URL)
	c := call{
		key:       bearerKey(r.Header.Get("Authorization")),
		userAgent: r.UserAgent(),
		proto:     r.Proto,
	}
	if !known {
		c.stray = messageAnswer(http.StatusNotFound, ResultUnknownPath, "Not Found")
		return c
	}
	c.endpoint, c.id.Slug, c.id.UserID = found.endpoint, found.slug, found.user
	switch {
	case r.Method != c.endpoint.method():
		c.stray = messageAnswer(http.StatusMethodNotAllowed, ResultMethodNotAllowed, "Method Not Allowed")
	case r.Method == http.MethodGet:
		c.rawQuery = r.URL.RawQuery
		c.readQuery()
	case err != nil || len(body) > maxRequestBytes:
		c.flaw = messageAnswer(http.StatusBadRequest, ResultBadRequest, "The request body cannot be read.")
	case !isJSON(r.Header.Get("Content-Type")):
		c.flaw = messageAnswer(http.StatusBadRequest, ResultBadRequest, "The Content-Type must be application/json.")
	default:
		c.readBody(body)
	}
	return c
}

func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == "application/json"
}

// readQuery reads the parameters of a GET that belong to a connection.
func (c *call) readQuery() {
	query, err := url.ParseQuery(c.rawQuery)
	if err != nil {
		c.flaw = messageAnswer(http.StatusBadRequest, ResultBadRequest, "The query cannot be read.")
		return
	}
	c.query = query
	c.id.OrganizationID = query.Get("organization_id")
	c.plural = query.Get("supports_multiple_connections") == "true"
}
