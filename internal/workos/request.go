package workos

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"unicode/utf8"
)

// Request names the connection whose token is asked for.
type Request struct {
	// Slug is the slug of the integration, such as "github". It matches
	// ^[A-Za-z0-9][A-Za-z0-9_-]*$.
	Slug string
	// UserID is the WorkOS user, such as "user_01EHZNVPK3SFK441A1RGBFSHRT". It is never empty.
	UserID string
	// OrganizationID is the WorkOS organization, such as "org_01EHZNVPK3SFK441A1RGBFSHRT". It is
	// part of the identity of a connection. If it is empty, the request has no organization_id.
	OrganizationID string
}

// slugPattern makes sure that a slug is one path segment. It refuses "..", which url.PathEscape
// does not escape.
var slugPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// validate refuses values that the API server should have refused before. encoding/json would
// alter text that is not UTF-8, and the request would name another user.
func (r Request) validate() error {
	switch {
	case !slugPattern.MatchString(r.Slug):
		return fmt.Errorf("slug does not match %s", slugPattern)
	case r.UserID == "":
		return errors.New("no user ID")
	case !utf8.ValidString(r.UserID), !utf8.ValidString(r.OrganizationID):
		return errors.New("user ID or organization ID is not UTF-8")
	}
	return nil
}

// body returns the JSON body of the request.
func (r Request) body() ([]byte, error) {
	return json.Marshal(struct {
		UserID         string `json:"user_id"`
		OrganizationID string `json:"organization_id,omitempty"`
	}{r.UserID, r.OrganizationID})
}
