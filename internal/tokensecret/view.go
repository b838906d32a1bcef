package tokensecret

import (
	"encoding/json"
	"reflect"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// A view is the form in which a template sees the values: one type for each method, so that a
// template finds only fields that have a value.
type (
	oauthView struct {
		AccessToken, ExpiresAt       string
		Scopes                       []string
		Slug, UserID, OrganizationID string
	}
	apiKeyView struct {
		APIKey, Slug, UserID, OrganizationID string
		Metadata, Config                     properties
	}
	clientView struct {
		oauthView
		Metadata, Config properties
	}
)

// viewOf returns the view of values for a method. The method of an object that was stored before
// the CRD had methods is empty, and means OAuth.
func viewOf(method v1alpha1.AuthMethod, values Values, isSample bool) any {
	token := values.Token.Reveal()
	metadata, config := propertiesOf(values.Metadata, isSample), propertiesOf(values.Config, isSample)
	if method == v1alpha1.AuthMethodAPIKey {
		return apiKeyView{token, values.Slug, values.UserID, values.OrganizationID, metadata, config}
	}
	access := oauthView{token, "", values.Scopes, values.Slug, values.UserID, values.OrganizationID}
	if !values.ExpiresAt.IsZero() {
		access.ExpiresAt = formatTime(values.ExpiresAt)
	}
	if access.Scopes == nil {
		access.Scopes = []string{} // [] in JSON, not null
	}
	if method == v1alpha1.AuthMethodClientCredentials {
		return clientView{access, metadata, config}
	}
	return access
}

// viewFields are the fields of each view, as a template names them.
var viewFields = map[v1alpha1.AuthMethod][]string{
	v1alpha1.AuthMethodOAuth:             fieldsOfView(oauthView{}),
	v1alpha1.AuthMethodAPIKey:            fieldsOfView(apiKeyView{}),
	v1alpha1.AuthMethodClientCredentials: fieldsOfView(clientView{}),
}

func fieldsOfView(view any) (names []string) {
	for _, field := range reflect.VisibleFields(reflect.TypeOf(view)) {
		if field.IsExported() {
			names = append(names, "."+field.Name)
		}
	}
	return names
}

// properties are the metadata or the config of a credential.
type properties struct {
	text   string
	values map[string]json.RawMessage
	sample bool
}

// propertiesOf reads a JSON object. A sample has every name, because only the answer of WorkOS
// tells which names there are.
func propertiesOf(object redact.String, isSample bool) properties {
	p := properties{text: "{}", sample: isSample}
	if text := object.Reveal(); text != "" && json.Unmarshal([]byte(text), &p.values) == nil {
		p.text = text
	}
	return p
}

// get returns the value of that name: a string as it is, and every other value as JSON. It is
// empty if there is no such value.
func (p properties) get(name string) string {
	raw, found := p.values[name]
	var text string
	switch {
	case p.sample:
		return "sample"
	case !found || string(raw) == "null":
		return ""
	case json.Unmarshal(raw, &text) == nil:
		return text
	default:
		return string(raw)
	}
}

// String returns the JSON object. Templates print it.
func (p properties) String() string { return p.text }

// MarshalJSON returns the JSON object, for the function toJson.
func (p properties) MarshalJSON() ([]byte, error) { return []byte(p.text), nil }
