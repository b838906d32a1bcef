package workos

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"unicode/utf8"
)

// Owner says whose connection it is, as WorkOS's connection_owner.
type Owner string

const (
	// OwnerUser is the user. WorkOS assumes it, so the request does not name it.
	OwnerUser Owner = ""
	// OwnerOrganization is the organization, which shares the connection with its members.
	OwnerOrganization Owner = "organization"
)

// Method says how the connected account authenticates, as WorkOS's auth_method.
type Method string

const (
	// MethodOAuth asks the token endpoint. The other methods ask the credentials endpoint.
	MethodOAuth Method = ""
	// MethodAPIKey is an account with an API key.
	MethodAPIKey Method = "api_key"
	// MethodClientCredentials is an account with a client ID and a client secret.
	MethodClientCredentials Method = "client_credentials"
)

// Request names the connection whose token is asked for. All its fields are part of the identity
// of the connection.
type Request struct {
	// Slug is the slug of the integration, such as "github". It matches
	// ^[A-Za-z0-9][A-Za-z0-9_-]*$.
	Slug string
	// UserID is the WorkOS user, such as "user_01EHZNVPK3SFK441A1RGBFSHRT". It is never empty.
	UserID string
	// OrganizationID is the WorkOS organization, such as "org_01EHZNVPK3SFK441A1RGBFSHRT". It is
	// part of the identity of a connection. If it is empty, the request has no organization_id.
	OrganizationID string
	// Owner is whose connection it is.
	Owner Owner
	// AccountID selects one of several connections, such as
	// "data_installation_01EHZNVPK3SFK441A1RGBFSHRT". If it is empty, the request selects none.
	AccountID string
	// Method is how the account authenticates.
	Method Method
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
	case !utf8.ValidString(r.UserID), !utf8.ValidString(r.OrganizationID), !utf8.ValidString(r.AccountID):
		return errors.New("user ID, organization ID or account ID is not UTF-8")
	}
	return nil
}

// endpoint returns the last segment of the path.
func (r Request) endpoint() string {
	if r.Method == MethodOAuth {
		return "token"
	}
	return "credentials"
}

// body returns the JSON body of the request. WorkOS looks beyond the user's only connection if
// the request says that it supports several. A request that selects none does not say so: it asks
// for the same connection as before WorkOS allowed several.
func (r Request) body() ([]byte, error) {
	return json.Marshal(struct {
		UserID          string `json:"user_id"`
		OrganizationID  string `json:"organization_id,omitempty"`
		ConnectionOwner Owner  `json:"connection_owner,omitempty"`
		AccountID       string `json:"connected_account_id,omitempty"`
		SupportsSeveral bool   `json:"supports_multiple_connections,omitempty"`
	}{r.UserID, r.OrganizationID, r.Owner, r.AccountID, r.AccountID != ""})
}
