package workos

import (
	"encoding/json"
	"errors"
)

// members are those of a JSON object. Their names are case-sensitive: "ACTIVE" is a member that WorkOS does not document,
// and is ignored as such. encoding/json would take it for "active" in a struct. Of members of the same name the last
// counts, as it does for nearly everybody who reads JSON (RFC 8259, section 4, leaves it open).
type members map[string]json.RawMessage

// errNotAnObject: JSON, but no object.
var errNotAnObject = errors.New("not an object")

// readMembers reads a JSON object, and nothing else.
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

// has says whether there is a member of that name, and it is not null.
func (m members) has(name string) bool {
	raw, ok := m[name]
	return ok && string(raw) != "null"
}

// text is the text of the member of that name if it is a string.
func (m members) text(name string) (string, bool) { return text(m[name]) }

// text is a JSON string's text; false for every other value.
func text(raw json.RawMessage) (string, bool) {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", false
	}
	return *s, true
}

// list has the items of a JSON array, and none for every other value.
func list(raw json.RawMessage) []json.RawMessage {
	var items []json.RawMessage
	_ = json.Unmarshal(raw, &items)
	return items
}
