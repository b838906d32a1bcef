package workossim

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// Owner is the owner of a connection. The empty owner is OwnerUser.
type Owner string

const (
	// OwnerUser means that the connection belongs to one user.
	OwnerUser Owner = "user"
	// OwnerOrganization means that the members of an organization share the connection. The
	// connection has no user.
	OwnerOrganization Owner = "organization"
)

// ID identifies a connection. The organization is part of it: a user without an organization,
// and the same user in each of two organizations, have three connections.
//
// In a Request, an ID is what the request names: a request for the connection of an organization
// also names a user. As an argument, such an ID means the connection of the organization.
type ID struct {
	Slug           string `json:"slug"`
	UserID         string `json:"userID"`
	OrganizationID string `json:"organizationID,omitempty"`
	// Owner is empty or OwnerUser for the connection of a user.
	Owner Owner `json:"owner,omitempty"`
	// AccountID is empty for the compatibility connection, which requests without
	// supports_multiple_connections see. All other connections of the same slug, user,
	// organization and owner need an AccountID.
	AccountID string `json:"accountID,omitempty"`
}

// AccountID returns the connected_account_id of a connection. WorkOS makes such an ID; the
// simulator derives it from the rest of the ID, so that it is the same on every run.
func AccountID(id ID) string {
	id = id.canonical()
	if id.AccountID != "" {
		return id.AccountID
	}
	return "data_installation_" + digits(string(id.Owner), id.Slug, id.UserID, id.OrganizationID)
}

// digits returns 26 characters, as in a ULID, that depend on the texts only.
func digits(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return "01" + base32.HexEncoding.EncodeToString(sum[:15])
}

// asked returns the ID with the one form of an owner that is a user.
func (id ID) asked() ID {
	if id.Owner == OwnerUser {
		id.Owner = ""
	}
	return id
}

// canonical returns the key under which the simulator stores the connection.
func (id ID) canonical() ID {
	id = id.asked()
	if id.Owner == OwnerOrganization {
		id.UserID = ""
	}
	if id.AccountID != "" && id.AccountID == AccountID(id.group()) {
		id.AccountID = ""
	}
	return id
}

// group returns the ID of the compatibility connection beside the connection.
func (id ID) group() ID {
	id.AccountID = ""
	return id
}

// path returns the parts of the ID that are not empty, for messages. The method is not String,
// because Connection and Request would inherit it.
func (id ID) path() string {
	parts := []string{id.Slug}
	for _, part := range []string{id.UserID, id.OrganizationID, id.AccountID} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/")
}

func (id ID) compare(other ID) int {
	return cmp.Or(
		strings.Compare(id.Slug, other.Slug),
		strings.Compare(id.UserID, other.UserID),
		strings.Compare(id.OrganizationID, other.OrganizationID),
		cmp.Compare(id.Owner, other.Owner),
		strings.Compare(id.AccountID, other.AccountID),
	)
}
