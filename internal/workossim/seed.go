package workossim

import (
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// ParseSeed reads the YAML with which a simulator starts:
//
//	apiKeys: [sk_test_demo]          # without a key, every answer is 401
//	slugs: [linear]                  # in addition to those of connections
//	tokenMarker: canary_             # Options.TokenMarker
//	unknownUserNotFound: false       # Options.UnknownUserNotFound
//	members: {org_01: [user_01]}     # Options.Members
//	noCredentialsEndpoint: false     # Options.NoCredentialsEndpoint
//	validationCode: false            # Options.ValidationCode
//	noEvents: false                  # Options.NoEvents
//	eventFamilies: []                # Options.EventFamilies
//	knownEventFamilies: []           # Options.KnownEventFamilies
//	eventsForbidden: false           # Options.EventsForbidden
//	connections:
//	- slug: github
//	  userID: user_01
//	  organizationID: org_01         # left out: no organization
//	  owner: user                    # or organization, which needs an organizationID
//	  accountID: ""                  # of a connection beside the compatibility connection
//	  state: connected               # or not_installed, needs_reauthorization, or any other text
//	  lifetime: 45s                  # default 1h
//	  expiryLayout: "2006-01-02"     # Connection.ExpiryLayout
//	  noExpiry: false                # instead of lifetime
//	  refreshLead: 10s               # default 0s: refresh only after expiry
//	  alwaysFresh: false             # instead of refreshLead
//	  scopes: [repo]
//	  missingScopes: []
//	  tokenPrefix: gho_
//	  authMethod: oauth              # or api_key, client_credentials
//	  metadata: {instance_url: ...}  # any JSON, for client_credentials
//	  config: {account: ...}         # texts; {} is not the same as no config
//	  noEvent: false                 # Connection.NoEvent; connections of a seed have no event
//	everyone:                        # Options.Everyone
//	- slug: slack                    # and more fields, but not userID and organizationID
//
// An unknown or repeated field is an error that names the field. Errors contain no key.
func ParseSeed(data []byte) (Options, error) {
	encoded, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		// The error of the parser may have several lines.
		return Options{}, errors.New(strings.Join(strings.Fields(err.Error()), " "))
	}
	var seed seedSpec
	if err := decodeStrict(encoded, &seed); err != nil {
		return Options{}, err
	}
	return seed.options()
}

type seedSpec struct {
	APIKeys               []string            `json:"apiKeys"`
	Slugs                 []string            `json:"slugs"`
	TokenMarker           string              `json:"tokenMarker"`
	UnknownUserNotFound   bool                `json:"unknownUserNotFound"`
	Members               map[string][]string `json:"members"`
	NoCredentialsEndpoint bool                `json:"noCredentialsEndpoint"`
	ValidationCode        bool                `json:"validationCode"`
	NoEvents              bool                `json:"noEvents"`
	EventFamilies         []EventFamily       `json:"eventFamilies"`
	KnownEventFamilies    []EventFamily       `json:"knownEventFamilies"`
	EventsForbidden       bool                `json:"eventsForbidden"`
	Connections           []connectionSpec    `json:"connections"`
	Everyone              []connectionSpec    `json:"everyone"`
}

func (spec seedSpec) options() (Options, error) {
	o := Options{
		APIKeys: spec.APIKeys, Slugs: spec.Slugs, TokenMarker: spec.TokenMarker,
		UnknownUserNotFound: spec.UnknownUserNotFound, Members: spec.Members,
		NoCredentialsEndpoint: spec.NoCredentialsEndpoint, ValidationCode: spec.ValidationCode,
		NoEvents: spec.NoEvents, EventFamilies: spec.EventFamilies,
		KnownEventFamilies: spec.KnownEventFamilies, EventsForbidden: spec.EventsForbidden,
	}
	if err := firstOf(
		checkKeys(spec.APIKeys),
		checkFamilies("eventFamilies", spec.EventFamilies),
		checkFamilies("knownEventFamilies", spec.KnownEventFamilies),
	); err != nil {
		return Options{}, err
	}
	for i, slug := range spec.Slugs {
		if err := checkSlug(slug); err != nil {
			return Options{}, fmt.Errorf("slugs[%d]: %w", i, err)
		}
	}
	var err error
	if o.Connections, err = connections(spec.Connections); err != nil {
		return Options{}, err
	}
	if o.Everyone, err = everyone(spec.Everyone); err != nil {
		return Options{}, err
	}
	return o, nil
}

// connections reads the connections of Options.Connections.
func connections(specs []connectionSpec) ([]Connection, error) {
	var connections []Connection
	seen := map[ID]bool{}
	for i, wanted := range specs {
		c, err := wanted.connection()
		if err != nil {
			return nil, fmt.Errorf("connections[%d].%w", i, err)
		}
		if seen[c.canonical()] {
			return nil, fmt.Errorf("connections[%d]: %s is there already: remove one of the two", i, c.path())
		}
		seen[c.canonical()] = true
		connections = append(connections, c)
	}
	return connections, nil
}

// everyone reads the connections of Options.Everyone.
func everyone(specs []connectionSpec) ([]Connection, error) {
	var connections []Connection
	seen := map[string]bool{}
	for i, wanted := range specs {
		if wanted.UserID != "" || wanted.OrganizationID != "" {
			return nil, fmt.Errorf("everyone[%d]: names a user or an organization: leave both out, or use connections", i)
		}
		// The check requires a user. The user is removed again below.
		wanted.UserID = "everyone"
		c, err := wanted.connection()
		if err != nil {
			return nil, fmt.Errorf("everyone[%d].%w", i, err)
		}
		if seen[c.Slug] {
			return nil, fmt.Errorf("everyone[%d]: %s is there already: remove one of the two", i, c.Slug)
		}
		seen[c.Slug] = true
		c.UserID = ""
		connections = append(connections, c)
	}
	return connections, nil
}
