package workossim

import (
	"encoding/json"
	"net/http"
	"net/url"
)

// body is the JSON object of a request, with the errors that were found in it so far.
type body struct {
	fields  map[string]json.RawMessage
	invalid []fieldError
}

// readBody reads the connection that a request body names. A field that is missing or null is
// not given. An empty string is rejected, because no ID is empty.
func (c *call) readBody(raw []byte) {
	var b body
	if err := json.Unmarshal(raw, &b.fields); err != nil || b.fields == nil {
		c.flaw = messageAnswer(http.StatusBadRequest, ResultBadRequest, "The request body is not a JSON object.")
		return
	}
	c.id.UserID = b.text("user_id")
	if c.id.UserID == "" && len(b.invalid) == 0 {
		b.reject("required", "user_id")
	}
	c.id.OrganizationID = b.text("organization_id")
	c.id.Owner = b.owner()
	if c.id.Owner == OwnerOrganization && !b.given("organization_id") {
		b.reject("required", "organization_id")
	}
	if c.endpoint == EndpointAuthorize {
		b.checkAuthorize()
	} else {
		c.id.AccountID = b.text("connected_account_id")
		b.read("supports_multiple_connections", &c.plural)
	}
	c.id = c.id.asked()
	c.invalid = b.invalid
}

func (b *body) reject(code, field string) {
	b.invalid = append(b.invalid, fieldError{Code: code, Field: field})
}

func (b *body) given(name string) bool {
	raw := b.fields[name]
	return len(raw) > 0 && string(raw) != "null"
}

// read reads a field of any type. It reports whether the field is given and right.
func (b *body) read(name string, into any) bool {
	if !b.given(name) {
		return false
	}
	if err := json.Unmarshal(b.fields[name], into); err != nil {
		b.reject("invalid", name)
		return false
	}
	return true
}

// text reads a string that must not be empty.
func (b *body) text(name string) string {
	var value string
	if b.read(name, &value) && value == "" {
		b.reject("invalid", name)
	}
	return value
}

func (b *body) owner() Owner {
	owner := Owner(b.text("connection_owner"))
	switch owner {
	case "", OwnerUser, OwnerOrganization:
		return owner
	default:
		b.reject("invalid", "connection_owner")
		return ""
	}
}

// checkAuthorize checks the fields of the authorize endpoint that do not name the connection.
func (b *body) checkAuthorize() {
	if to := b.text("return_to"); to != "" {
		if parsed, err := url.Parse(to); err != nil || !parsed.IsAbs() {
			b.reject("invalid", "return_to")
		}
	}
	var config map[string]string
	b.read("config", &config)
}
