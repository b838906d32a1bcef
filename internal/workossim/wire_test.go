package workossim_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

func TestASeedBecomesOptions(t *testing.T) {
	got, err := workossim.ParseSeed([]byte(`
apiKeys: [sk_one, sk_two]
slugs: [linear]
tokenMarker: marker_
unknownUserNotFound: true
members: {org_1: [user_bob]}
noCredentialsEndpoint: true
validationCode: true
noEvents: true
eventFamilies: [pipes.account_connection.]
knownEventFamilies: [pipes.connected_account., pipes.account_connection.]
eventsForbidden: true
connections:
- slug: github
  userID: user_bob
  organizationID: org_1
  state: needs_reauthorization
  lifetime: 45s
  refreshLead: 1m30s
  scopes: [repo]
  missingScopes: ["user:email"]
  tokenPrefix: gho_
- {slug: slack, userID: user_bob, noExpiry: true, alwaysFresh: true}
- {slug: slack, organizationID: org_1, owner: organization, accountID: data_installation_2, authMethod: client_credentials,
   metadata: {instance_url: "https://a.example"}, config: {account: a}}
everyone:
- {slug: notion, lifetime: 5m}
`))
	want := workossim.Options{
		APIKeys: []string{"sk_one", "sk_two"}, Slugs: []string{"linear"}, TokenMarker: "marker_", UnknownUserNotFound: true,
		Members: map[string][]string{"org_1": {"user_bob"}}, NoCredentialsEndpoint: true, ValidationCode: true, NoEvents: true, EventsForbidden: true,
		EventFamilies:      []workossim.EventFamily{workossim.FamilyAccountConnection},
		KnownEventFamilies: []workossim.EventFamily{workossim.FamilyConnectedAccount, workossim.FamilyAccountConnection},
		Connections: []workossim.Connection{
			{
				ID: bob, State: workossim.NeedsReauthorization, Lifetime: 45 * time.Second, RefreshLead: 90 * time.Second,
				Scopes: []string{"repo"}, MissingScopes: []string{"user:email"}, TokenPrefix: "gho_",
			},
			{ID: workossim.ID{Slug: "slack", UserID: "user_bob"}, NoExpiry: true, AlwaysFresh: true},
			{
				ID:         workossim.ID{Slug: "slack", OrganizationID: "org_1", Owner: workossim.OwnerOrganization, AccountID: "data_installation_2"},
				AuthMethod: workossim.AuthClientCredentials, Metadata: map[string]any{"instance_url": "https://a.example"}, Config: map[string]string{"account": "a"},
			},
		},
		Everyone: []workossim.Connection{{ID: workossim.ID{Slug: "notion"}, Lifetime: 5 * time.Minute}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestAnEmptySeedIsFine(t *testing.T) {
	if got, err := workossim.ParseSeed(nil); err != nil || !reflect.DeepEqual(got, workossim.Options{}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAWrongSeedIsRefusedInOneLineThatNamesTheField(t *testing.T) {
	tests := map[string]string{
		"apiKey: [sk]":                                                                 `unknown field "apiKey": correct or remove it`,
		"apikeys: [sk]":                                                                `unknown field "apikeys": correct or remove it`,
		"apiKeys: sk_secret":                                                           `apiKeys: wrong type (string): use a list`,
		"apiKeys: ['']":                                                                `apiKeys[0]: use a key that is not empty and has no space around it`,
		"apiKeys: [a]\napiKeys:":                                                       `yaml: unmarshal errors: line 2: key "apiKeys" already set in map`,
		"- apiKeys":                                                                    `the whole: wrong type (array): use an object with fields`,
		"everyone: [{slug: github, userID: a}]":                                        `everyone[0]: names a user or an organization: leave both out, or use connections`,
		"everyone: [{slug: github, lifetime: -1s}]":                                    `everyone[0].lifetime: "-1s" is negative: use 0s or more`,
		"everyone: [{slug: github}, {slug: github}]":                                   `everyone[1]: github is there already: remove one of the two`,
		"slugs: [../x]":                                                                `slugs[0]: "../x" is not a slug: use letters, digits, _ and -, and begin with a letter or digit`,
		"connections: [{slug: github, userID: a, org: b}]":                             `unknown field "connections[0].org": correct or remove it`,
		"connections: [{slug: github, userId: a}]":                                     `unknown field "connections[0].userId": correct or remove it`,
		"eventFamilies: [pipes]":                                                       `eventFamilies[0]: "pipes" is not a family: use pipes.connected_account. or pipes.account_connection.`,
		"connections: [{slug: github, userID: a, owner: me}]":                          `connections[0].owner: "me" is not an owner: use user or organization`,
		"connections: [{slug: github, owner: organization}]":                           `connections[0].organizationID: name the organization that owns the connection`,
		"connections: [{userID: a}]":                                                   `connections[0].slug: "" is not a slug: use letters, digits, _ and -, and begin with a letter or digit`,
		"connections: [{slug: github}]":                                                `connections[0].userID: name a user`,
		"connections: [{slug: github, userID: 7}]":                                     `connections.userID: wrong type (number): use text`,
		"connections: [{slug: github, userID: a, noExpiry: 'x'}]":                      `connections.noExpiry: wrong type (string): use true or false`,
		"connections: [{slug: github, userID: a, lifetime: 45}]":                       `connections[0].lifetime: 45 is not a duration: write it as text with units, such as 45s or 1h30m`,
		"connections: [{slug: github, userID: a, lifetime: 1 hour}]":                   `connections[0].lifetime: "1 hour" is not a duration: write it as text with units, such as 45s or 1h30m`,
		"connections: [{slug: github, userID: a, refreshLead: -5s}]":                   `connections[0].refreshLead: "-5s" is negative: use 0s or more`,
		"connections: [{slug: github, userID: a, lifetime: 5s, noExpiry: true}]":       `connections[0].noExpiry: use either noExpiry or lifetime`,
		"connections: [{slug: github, userID: a, refreshLead: 5s, alwaysFresh: true}]": `connections[0].alwaysFresh: use either alwaysFresh or refreshLead`,
		"connections: [{slug: github, userID: a}, {slug: github, userID: a}]":          `connections[1]: github/a is there already: remove one of the two`,
	}
	for seed, want := range tests {
		t.Run(seed, func(t *testing.T) {
			if _, err := workossim.ParseSeed([]byte(seed)); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}
