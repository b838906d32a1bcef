package workossim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// slugPattern is the pattern of slugs in the API of the operator.
var slugPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// ParseSeed reads the YAML with which a simulator starts:
//
//	apiKeys: [sk_test_demo]          # without a key, every answer is 401
//	slugs: [linear]                  # in addition to those of connections
//	tokenMarker: canary_             # Options.TokenMarker
//	unknownUserNotFound: false       # Options.UnknownUserNotFound
//	connections:
//	- slug: github
//	  userID: user_01
//	  organizationID: org_01         # left out: no organization
//	  state: connected               # or not_installed, needs_reauthorization, or any other text
//	  lifetime: 45s                  # default 1h
//	  noExpiry: false                # instead of lifetime
//	  refreshLead: 10s               # default 0s: refresh only after expiry
//	  alwaysFresh: false             # instead of refreshLead
//	  scopes: [repo]
//	  missingScopes: []
//	  tokenPrefix: gho_
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
	APIKeys             []string         `json:"apiKeys"`
	Slugs               []string         `json:"slugs"`
	TokenMarker         string           `json:"tokenMarker"`
	UnknownUserNotFound bool             `json:"unknownUserNotFound"`
	Connections         []connectionSpec `json:"connections"`
	Everyone            []connectionSpec `json:"everyone"`
}

func (spec seedSpec) options() (Options, error) {
	o := Options{
		APIKeys: spec.APIKeys, Slugs: spec.Slugs,
		TokenMarker: spec.TokenMarker, UnknownUserNotFound: spec.UnknownUserNotFound,
	}
	if err := checkKeys(spec.APIKeys); err != nil {
		return Options{}, err
	}
	for i, slug := range spec.Slugs {
		if err := checkSlug(slug); err != nil {
			return Options{}, fmt.Errorf("slugs[%d]: %w", i, err)
		}
	}
	seen := map[ID]bool{}
	for i, wanted := range spec.Connections {
		c, err := wanted.connection()
		if err != nil {
			return Options{}, fmt.Errorf("connections[%d].%w", i, err)
		}
		if seen[c.ID] {
			return Options{}, fmt.Errorf("connections[%d]: %s is there already: remove one of the two", i, c.path())
		}
		seen[c.ID] = true
		o.Connections = append(o.Connections, c)
	}
	var err error
	o.Everyone, err = everyone(spec.Everyone)
	if err != nil {
		return Options{}, err
	}
	return o, nil
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

// connectionSpec is a Connection in YAML and JSON.
type connectionSpec struct {
	ID
	State         State    `json:"state"`
	Lifetime      duration `json:"lifetime"`
	NoExpiry      bool     `json:"noExpiry"`
	RefreshLead   duration `json:"refreshLead"`
	AlwaysFresh   bool     `json:"alwaysFresh"`
	Scopes        []string `json:"scopes"`
	MissingScopes []string `json:"missingScopes"`
	TokenPrefix   string   `json:"tokenPrefix"`
}

func (spec connectionSpec) connection() (Connection, error) {
	lifetime, lifetimeErr := spec.Lifetime.atLeastZero("lifetime")
	lead, leadErr := spec.RefreshLead.atLeastZero("refreshLead")
	if err := firstOf(checkID(spec.ID), lifetimeErr, leadErr); err != nil {
		return Connection{}, err
	}
	switch {
	case spec.NoExpiry && spec.Lifetime.given():
		return Connection{}, errors.New("noExpiry: use either noExpiry or lifetime")
	case spec.AlwaysFresh && spec.RefreshLead.given():
		return Connection{}, errors.New("alwaysFresh: use either alwaysFresh or refreshLead")
	}
	return Connection{
		ID: spec.ID, State: spec.State, Lifetime: lifetime, NoExpiry: spec.NoExpiry, RefreshLead: lead,
		AlwaysFresh: spec.AlwaysFresh, Scopes: spec.Scopes, MissingScopes: spec.MissingScopes, TokenPrefix: spec.TokenPrefix,
	}, nil
}

// faultSpec is a Fault in JSON.
type faultSpec struct {
	Match          *ID       `json:"match"`
	Kind           FaultKind `json:"kind"`
	Times          int       `json:"times"`
	Status         int       `json:"status"`
	Body           string    `json:"body"`
	RetryAfter     string    `json:"retryAfter"`
	RetryAfterDate duration  `json:"retryAfterDate"`
	Latency        duration  `json:"latency"`
	DateOffset     duration  `json:"dateOffset"`
}

func (spec faultSpec) fault() (Fault, error) {
	retryAfterDate, retryErr := spec.RetryAfterDate.parse("retryAfterDate")
	latency, latencyErr := spec.Latency.parse("latency")
	dateOffset, dateErr := spec.DateOffset.parse("dateOffset")
	if err := firstOf(retryErr, latencyErr, dateErr); err != nil {
		return Fault{}, err
	}
	f := Fault{
		Match: spec.Match, Kind: spec.Kind, Times: spec.Times, Status: spec.Status, Body: spec.Body,
		RetryAfter: spec.RetryAfter, RetryAfterDate: retryAfterDate, Latency: latency, DateOffset: dateOffset,
	}
	return f, f.Validate()
}

// duration is a JSON value that should be a duration such as "45s". It is parsed later, when
// the name of its field is known.
type duration struct{ raw string }

// UnmarshalJSON implements json.Unmarshaler.
func (d *duration) UnmarshalJSON(raw []byte) error {
	if string(raw) != "null" {
		d.raw = string(raw)
	}
	return nil
}

func (d duration) given() bool { return d.raw != "" }

func (d duration) parse(field string) (time.Duration, error) {
	if !d.given() {
		return 0, nil
	}
	var text string
	if err := json.Unmarshal([]byte(d.raw), &text); err == nil {
		if parsed, err := time.ParseDuration(text); err == nil {
			return parsed, nil
		}
	}
	return 0, fmt.Errorf("%s: %s is not a duration: write it as text with units, such as 45s or 1h30m", field, d.raw)
}

func (d duration) atLeastZero(field string) (time.Duration, error) {
	parsed, err := d.parse(field)
	if err == nil && parsed < 0 {
		err = fmt.Errorf("%s: %s is negative: use 0s or more", field, d.raw)
	}
	return parsed, err
}

func checkID(id ID) error {
	if err := checkSlug(id.Slug); err != nil {
		return fmt.Errorf("slug: %w", err)
	}
	if id.UserID == "" {
		return errors.New("userID: name a user")
	}
	return nil
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

// decodeStrict reads JSON. Field names are case-sensitive. Unknown and repeated fields are
// errors that name the field.
func decodeStrict(data []byte, into any) error {
	strict, err := kjson.UnmarshalStrict(data, into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		// ID is an embedded struct, and not a field in JSON.
		field := cmp.Or(strings.ReplaceAll(wrongType.Field, "ID.", ""), "the whole")
		return fmt.Errorf("%s: wrong type (%s): use %s", field, wrongType.Value, expected(wrongType.Type))
	case err != nil:
		return err
	case len(strict) > 0:
		return fmt.Errorf("%w: correct or remove it", strict[0])
	default:
		return nil
	}
}

// expected describes the values of a type, for an error message.
func expected(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Slice:
		return "a list"
	default:
		return "an object with fields"
	}
}

// firstOf returns the first error, so that a message has one line.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
