package workossim

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// slugPattern is the pattern of slugs in the API of the operator.
var slugPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

func checkID(id ID) error {
	if err := checkSlug(id.Slug); err != nil {
		return fmt.Errorf("slug: %w", err)
	}
	switch {
	case id.Owner == OwnerOrganization && id.OrganizationID == "":
		return errors.New("organizationID: name the organization that owns the connection")
	case id.Owner == OwnerOrganization:
		return nil
	case id.Owner != "" && id.Owner != OwnerUser:
		return fmt.Errorf("owner: %q is not an owner: use %s or %s", id.Owner, OwnerUser, OwnerOrganization)
	case id.UserID == "":
		return errors.New("userID: name a user")
	default:
		return nil
	}
}

func checkSlug(slug string) error {
	if !slugPattern.MatchString(slug) {
		return fmt.Errorf("%q is not a slug: use letters, digits, _ and -, and begin with a letter or digit", slug)
	}
	return nil
}

func checkKeys(keys []string) error {
	for i, key := range keys {
		if key == "" || strings.TrimSpace(key) != key {
			return fmt.Errorf("apiKeys[%d]: use a key that is not empty and has no space around it", i)
		}
	}
	return nil
}

func checkFamilies(field string, families []EventFamily) error {
	for i, family := range families {
		if family != FamilyConnectedAccount && family != FamilyAccountConnection {
			return fmt.Errorf("%s[%d]: %q is not a family: use %s or %s",
				field, i, family, FamilyConnectedAccount, FamilyAccountConnection)
		}
	}
	return nil
}
