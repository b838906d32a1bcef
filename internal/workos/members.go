package workos

import (
	"encoding/json"
	"errors"
)

// members are the members of a JSON object. Names are case-sensitive: WorkOS does not document
// "ACTIVE", so that member is ignored. In a struct, encoding/json would accept it as "active".
// If several members have the same name, the last member counts, as with most readers of JSON
// (RFC 8259, section 4, leaves this open).
type members map[string]json.RawMessage

// errNotAnObject says that the text is JSON, but not an object.
var errNotAnObject = errors.New("not an object")

// readMembers reads a JSON object, and returns an error for any other text.
func readMembers(raw []byte) (members, error) {
	if !json.Valid(raw) {
		return nil, errors.New("not JSON")
	}
	var object members
	if err := json.Unmarshal(raw, &object); err != nil || object == nil {
		return nil, errNotAnObject
	}
	return object, nil
}

// has reports whether the object has a member of that name whose value is not null.
func (m members) has(name string) bool {
	raw, ok := m[name]
	return ok && string(raw) != "null"
}

// text returns the text of the member of that name, if it is a string.
func (m members) text(name string) (string, bool) { return text(m[name]) }

// text returns the text of a JSON string, and false for any other value.
func text(raw json.RawMessage) (string, bool) {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", false
	}
	return *s, true
}

// list returns the items of a JSON array, and none for any other value.
func list(raw json.RawMessage) []json.RawMessage {
	var items []json.RawMessage
	_ = json.Unmarshal(raw, &items)
	return items
}
