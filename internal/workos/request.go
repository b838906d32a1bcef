package workos

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"unicode/utf8"
)

// Request names the connection that a token is asked for.
type Request struct {
	// Slug of the integration, such as "github". It matches ^[A-Za-z0-9][A-Za-z0-9_-]*$.
	Slug string
	// UserID is the WorkOS user, such as "user_01EHZNVPK3SFK441A1RGBFSHRT". Never empty.
	UserID string
	// OrganizationID is the WorkOS organization, such as "org_01EHZNVPK3SFK441A1RGBFSHRT". It is part of what
	// identifies a connection: empty leaves organization_id out of the request.
	OrganizationID string
}

// slugPattern keeps a slug one path segment: "..", which url.PathEscape lets pass, is none.
var slugPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// validate refuses what the API server should have refused before. Text that is not UTF-8 would reach WorkOS
// altered by encoding/json, and so name somebody else.
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

// body is the JSON that is sent.
func (r Request) body() ([]byte, error) {
	return json.Marshal(struct {
		UserID         string `json:"user_id"`
		OrganizationID string `json:"organization_id,omitempty"`
	}{r.UserID, r.OrganizationID})
}
