package workossim

import (
	"maps"
	"net/http"
	"slices"
	"time"
)

// accountPayload is a connected account without its token.
type accountPayload struct {
	Object         string            `json:"object"`
	ID             string            `json:"id"`
	UserID         *string           `json:"user_id"`
	OrganizationID *string           `json:"organization_id"`
	Scopes         []string          `json:"scopes"`
	AuthMethod     AuthMethod        `json:"auth_method"`
	Config         map[string]string `json:"config,omitzero"`
	State          string            `json:"state"`
	CreatedAt      string            `json:"created_at"`
	UpdatedAt      string            `json:"updated_at"`
}

// listedAccountPayload is an account in a provider. It has each of some fields twice, because an
// old version of WorkOS used other names.
type listedAccountPayload struct {
	accountPayload
	OldUserID         *string `json:"userlandUserId"`
	OldOrganizationID *string `json:"organizationId"`
	OldCreatedAt      string  `json:"createdAt"`
	OldUpdatedAt      string  `json:"updatedAt"`
}

type providerPayload struct {
	Object             string                  `json:"object"`
	ID                 string                  `json:"id"`
	Name               string                  `json:"name"`
	Description        *string                 `json:"description"`
	Slug               string                  `json:"slug"`
	IntegrationType    string                  `json:"integration_type"`
	CredentialsType    string                  `json:"credentials_type"`
	Scopes             []string                `json:"scopes"`
	Ownership          string                  `json:"ownership"`
	CreatedAt          string                  `json:"created_at"`
	UpdatedAt          string                  `json:"updated_at"`
	OldIntegrationType string                  `json:"integrationType"`
	OldCredentialsType string                  `json:"credentialsType"`
	OldCreatedAt       string                  `json:"createdAt"`
	OldUpdatedAt       string                  `json:"updatedAt"`
	ConnectedAccount   *listedAccountPayload   `json:"connected_account"`
	ConnectedAccounts  []*listedAccountPayload `json:"connected_accounts,omitzero"`
}

type providerList struct {
	Object string            `json:"object"`
	Data   []providerPayload `json:"data"`
}

// connectedAccountAnswer returns the compatibility connection of a user.
func (s *Simulator) connectedAccountAnswer(c call) *answer {
	a, found := s.find(c.id.canonical())
	if !found || !a.installed() {
		return messageAnswer(http.StatusNotFound, ResultUnknownAccount, "The connected account was not found.")
	}
	return plainAnswer(ResultConnectedAccount, accountOf(a))
}

// dataProvidersAnswer returns all integrations, with the accounts of the user. An organization
// adds its own accounts if the caller supports several.
func (s *Simulator) dataProvidersAnswer(c call) *answer {
	list := providerList{Object: "list", Data: []providerPayload{}}
	for _, slug := range slices.Sorted(maps.Keys(s.slugs)) {
		c.id.Slug = slug
		provider := s.providerOf(slug)
		if a, found := s.find(c.id.canonical()); found && a.installed() {
			provider.ConnectedAccount = listed(a)
		}
		if c.plural {
			provider.ConnectedAccounts = s.listedAccounts(c.id)
		}
		list.Data = append(list.Data, provider)
	}
	return plainAnswer(ResultDataProviders, list)
}

func (s *Simulator) listedAccounts(id ID) []*listedAccountPayload {
	accounts := s.installed(id.canonical())
	if id.OrganizationID != "" && s.isMember(id) {
		shared := id
		shared.Owner = OwnerOrganization
		accounts = append(accounts, s.installed(shared.canonical())...)
	}
	payloads := []*listedAccountPayload{}
	for _, a := range accounts {
		payloads = append(payloads, listed(a))
	}
	return payloads
}

func (s *Simulator) providerOf(slug string) providerPayload {
	since := formatTime(s.since)
	return providerPayload{
		Object: "data_provider", ID: integrationID(slug), Name: slug, Slug: slug,
		IntegrationType: slug, CredentialsType: "oauth2", Ownership: "userland_user",
		CreatedAt: since, UpdatedAt: since,
		OldIntegrationType: slug, OldCredentialsType: "oauth2", OldCreatedAt: since, OldUpdatedAt: since,
	}
}

func accountOf(a *account) accountPayload {
	return accountPayload{
		Object: "connected_account", ID: AccountID(a.ID),
		UserID: orNull(a.UserID), OrganizationID: orNull(a.OrganizationID),
		Scopes: append([]string{}, a.Scopes...), AuthMethod: a.AuthMethod, Config: a.Config,
		State:     a.accountState(),
		CreatedAt: formatTime(time.UnixMilli(a.createdAt)), UpdatedAt: formatTime(time.UnixMilli(a.updatedAt)),
	}
}

func listed(a *account) *listedAccountPayload {
	content := accountOf(a)
	return &listedAccountPayload{
		accountPayload: content, OldUserID: content.UserID, OldOrganizationID: content.OrganizationID,
		OldCreatedAt: content.CreatedAt, OldUpdatedAt: content.UpdatedAt,
	}
}

// accountState returns the state in the words of the endpoints that do not vend.
func (a *account) accountState() string {
	switch a.State {
	case Connected, NeedsReauthorization:
		return string(a.State)
	default:
		return "disconnected"
	}
}
