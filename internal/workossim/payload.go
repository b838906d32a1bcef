package workossim

import (
	"net/http"
	"time"
)

// payload is the JSON of an answer of status 200 of an endpoint that vends. It has two shapes,
// which only active tells apart.
type payload struct {
	Active      bool               `json:"active"`
	AccessToken *tokenPayload      `json:"access_token,omitempty"`
	Credential  *credentialPayload `json:"credential,omitempty"`
	Error       string             `json:"error,omitempty"`
	Extra       *extraPayload      `json:"x_future_object,omitempty"`
}

type tokenPayload struct {
	Object        string   `json:"object"`
	AccessToken   string   `json:"access_token"`
	ExpiresAt     *string  `json:"expires_at"`
	Scopes        []string `json:"scopes"`
	MissingScopes []string `json:"missing_scopes"`
	Extra         string   `json:"x_future_field,omitempty"`
}

// credentialPayload is a credential. expiringPayload is absent for an API key, not null.
type credentialPayload struct {
	Object     string     `json:"object"`
	AuthMethod AuthMethod `json:"auth_method"`
	Value      string     `json:"value"`
	*expiringPayload
	Metadata map[string]any    `json:"metadata,omitzero"`
	Config   map[string]string `json:"config,omitzero"`
	Extra    string            `json:"x_future_field,omitempty"`
}

type expiringPayload struct {
	ExpiresAt     *string  `json:"expires_at"`
	Scopes        []string `json:"scopes"`
	MissingScopes []string `json:"missing_scopes"`
}

// extraPayload is an object that no version of WorkOS has sent so far.
type extraPayload struct {
	Kind  string   `json:"kind"`
	Items []string `json:"items"`
}

// tokenAnswer returns an answer with the token of the account.
func tokenAnswer(a *account) *answer {
	expiring := expiringOf(a)
	return &answer{
		status: http.StatusOK,
		result: ResultToken,
		token:  a.token.issued,
		payload: &payload{Active: true, AccessToken: &tokenPayload{
			Object:        "access_token",
			AccessToken:   a.token.value,
			ExpiresAt:     expiring.ExpiresAt,
			Scopes:        expiring.Scopes,
			MissingScopes: expiring.MissingScopes,
		}},
	}
}

// credentialAnswer returns an answer with the credential of the account.
func credentialAnswer(a *account) *answer {
	credential := &credentialPayload{
		Object:     "credential",
		AuthMethod: a.AuthMethod,
		Value:      a.token.value,
		Config:     a.Config,
	}
	if a.AuthMethod.expires() {
		credential.expiringPayload = expiringOf(a)
	}
	if a.AuthMethod == AuthClientCredentials {
		credential.Metadata = a.Metadata
		if credential.Metadata == nil { // WorkOS requires the key
			credential.Metadata = map[string]any{}
		}
	}
	return &answer{
		status:  http.StatusOK,
		result:  ResultToken,
		token:   a.token.issued,
		payload: &payload{Active: true, Credential: credential},
	}
}

func expiringOf(a *account) *expiringPayload {
	var expiresAt *string
	if !a.token.expires.IsZero() {
		formatted := a.token.expires.UTC().Format(a.ExpiryLayout)
		expiresAt = &formatted
	}
	return &expiringPayload{
		ExpiresAt:     expiresAt,
		Scopes:        append([]string{}, a.Scopes...), // [], never null
		MissingScopes: append([]string{}, a.MissingScopes...),
	}
}

// inactiveAnswer returns an answer that says that no token is available.
func inactiveAnswer(state State) *answer {
	return &answer{status: http.StatusOK, result: string(state), payload: &payload{Error: string(state)}}
}

// spoil changes an answer before it is encoded.
func (p *payload) spoil(a *answer, kind FaultKind, now time.Time) {
	switch kind {
	case FaultNoToken:
		p.AccessToken, p.Credential, a.token = nil, nil, issued{}
	case FaultEmptyToken:
		*p.value(), a.token = "", issued{}
	case FaultControlCharacters:
		*p.value() += "\r\nX-Injected: 1\x00\x1b[31m"
	case FaultActiveWithError:
		p.Error = string(NeedsReauthorization)
	case FaultExpiredToken:
		p.expireAt(now.Add(-time.Hour).Format(timeFormat))
	case FaultUnknownError:
		*p, a.token = payload{Error: "provider_under_maintenance"}, issued{}
	case FaultExtraFields:
		p.addFields()
	}
}

// value returns the token or the credential of an active answer.
func (p *payload) value() *string {
	if p.AccessToken != nil {
		return &p.AccessToken.AccessToken
	}
	return &p.Credential.Value
}

// expireAt changes the expiry. An API key has none, and gets one: WorkOS may send it one day.
func (p *payload) expireAt(at string) {
	switch {
	case p.AccessToken != nil:
		p.AccessToken.ExpiresAt = &at
	case p.Credential.expiringPayload != nil:
		p.Credential.ExpiresAt = &at
	default:
		p.Credential.expiringPayload = &expiringPayload{ExpiresAt: &at, Scopes: []string{}, MissingScopes: []string{}}
	}
}

func (p *payload) addFields() {
	p.Extra = &extraPayload{Kind: "unknown", Items: []string{"one", "two"}}
	if p.AccessToken != nil {
		p.AccessToken.Extra = "unknown"
	}
	if p.Credential != nil {
		p.Credential.Extra = "unknown"
	}
}
