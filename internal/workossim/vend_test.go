package workossim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

const (
	notInstalled    = `{"active":false,"error":"not_installed"}`
	accountNotFound = `{"message":"The connected account was not found."}`
	selectAccount   = `{"message":"Several connected accounts match; an account has to be selected.","code":"account_selection_required"}`
)

func TestAConnectionOfAnOrganizationHasNoUser(t *testing.T) {
	shared := workossim.ID{Slug: "github", OrganizationID: "org_1", Owner: workossim.OwnerOrganization}
	h := newHarness(t, workossim.Connection{ID: shared})
	body := func(user string) string {
		return `{"user_id":"` + user + `","organization_id":"org_1","connection_owner":"organization"}`
	}
	alices := h.post(workossim.EndpointToken, "github", body("user_alice"))
	if bobs := h.post(workossim.EndpointToken, "github", body("user_bob")); bobs.Body != alices.Body || !strings.Contains(bobs.Body, `"active":true`) {
		t.Errorf("got %s and %s, want the same token", alices.Body, bobs.Body)
	}
	h.sim.SetMembers("org_1", "user_alice")
	if got := h.post(workossim.EndpointToken, "github", body("user_alice")); got.Body != alices.Body {
		t.Errorf("a member gets %s", got.Body)
	}
	h.want(h.post(workossim.EndpointToken, "github", body("user_bob")), 403, `{"message":"The user is not an active member of the organization."}`)
	h.want(h.post(workossim.EndpointToken, "github", `{"user_id":"user_alice","organization_id":"org_1"}`), 200, notInstalled)
	h.want(h.post(workossim.EndpointToken, "github", `{"user_id":"user_alice","connection_owner":"organization"}`), 422,
		`{"message":"Validation failed.","errors":[{"code":"required","field":"organization_id"}]}`)

	asked := shared
	asked.UserID = "user_alice"
	if got := h.sim.RequestsFor(asked); len(got) != 2 || got[0].Endpoint != workossim.EndpointToken || got[0].Owner != workossim.OwnerOrganization {
		t.Errorf("recorded %+v", got)
	}
	if _, _, ok := h.sim.CurrentToken(asked); !ok {
		t.Error("an ID with a user does not mean the connection of the organization")
	}
}

func TestSeveralConnectionsNeedASelector(t *testing.T) {
	second := workossim.ID{Slug: "github", UserID: "user_alice", AccountID: "data_installation_second"}
	third := workossim.ID{Slug: "github", UserID: "user_alice", AccountID: "data_installation_third"}
	h := newHarness(t)
	ask := func(more string) reply {
		return h.post(workossim.EndpointToken, "github", `{"user_id":"user_alice"`+more+`}`)
	}
	const plural = `,"supports_multiple_connections":true`
	h.sim.Put(workossim.Connection{ID: second})
	h.want(ask(""), 200, notInstalled) // there is no compatibility connection
	if got := ask(plural); !strings.Contains(got.Body, `"active":true`) {
		t.Errorf("the only connection: got %s", got.Body)
	}
	h.sim.Put(workossim.Connection{ID: third})
	h.want(ask(plural), 409, selectAccount)
	if got := ask(plural + `,"connected_account_id":"data_installation_third"`); !strings.Contains(got.Body, tokenOf(t, h, third)) {
		t.Errorf("the third: got %s", got.Body)
	}
	h.sim.Put(workossim.Connection{ID: alice})
	if got := ask(`,"connected_account_id":"` + workossim.AccountID(alice) + `"`); !strings.Contains(got.Body, tokenOf(t, h, alice)) {
		t.Errorf("the compatibility connection by its ID: got %s", got.Body)
	}
	if got := ask(""); !strings.Contains(got.Body, tokenOf(t, h, alice)) {
		t.Errorf("the compatibility connection: got %s", got.Body)
	}
	h.want(ask(plural+`,"connected_account_id":"data_installation_other"`), 404, accountNotFound)
	h.sim.Remove(third)
	h.sim.SetState(second, workossim.NotInstalled)
	if got := ask(plural); !strings.Contains(got.Body, tokenOf(t, h, alice)) {
		t.Errorf("only one is left: got %s", got.Body)
	}
}

func tokenOf(t *testing.T, h *harness, id workossim.ID) string {
	t.Helper()
	token, _, ok := h.sim.CurrentToken(id)
	if !ok {
		t.Fatalf("%+v has no token", id)
	}
	return `"` + token + `"`
}

func TestFieldsOfTheNewerSpecAreChecked(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	for field, values := range map[string][]string{
		"connection_owner":              {`"team"`, `""`, `1`},
		"connected_account_id":          {`""`, `7`},
		"supports_multiple_connections": {`"true"`, `1`},
	} {
		for _, value := range values {
			got := h.post(workossim.EndpointToken, "github", `{"user_id":"user_alice","`+field+`":`+value+`}`)
			h.want(got, 422, `{"message":"Validation failed.","errors":[{"code":"invalid","field":"`+field+`"}]}`)
		}
		if got := h.post(workossim.EndpointToken, "github", `{"user_id":"user_alice","`+field+`":null}`); got.Status != 200 {
			t.Errorf("%s null: got %d %s", field, got.Status, got.Body)
		}
	}
}

func TestCredentialsHaveTheShapeOfTheirMethod(t *testing.T) {
	tests := map[string]struct {
		connection workossim.Connection
		want       string
	}{
		"oauth": {workossim.Connection{ID: alice, Scopes: []string{"repo"}},
			`"object":"credential","auth_method":"oauth","value":"canary_github_1_daf6525caac3c24a","expires_at":"2026-11-23T14:00:00.000Z","scopes":["repo"],"missing_scopes":[]`},
		"an API key": {workossim.Connection{ID: alice, AuthMethod: workossim.AuthAPIKey, Scopes: []string{"repo"}, Metadata: map[string]any{"a": 1}},
			`"object":"credential","auth_method":"api_key","value":"canary_github_1_daf6525caac3c24a"`},
		"client credentials": {workossim.Connection{ID: alice, AuthMethod: workossim.AuthClientCredentials, NoExpiry: true, Metadata: map[string]any{"instance_url": "https://a.example"}},
			`"object":"credential","auth_method":"client_credentials","value":"canary_github_1_daf6525caac3c24a","expires_at":null,"scopes":[],"missing_scopes":[],"metadata":{"instance_url":"https://a.example"}`},
		"with config": {workossim.Connection{ID: alice, AuthMethod: workossim.AuthAPIKey, Config: map[string]string{"account": "a"}},
			`"object":"credential","auth_method":"api_key","value":"canary_github_1_daf6525caac3c24a","config":{"account":"a"}`},
		"with empty config": {workossim.Connection{ID: alice, AuthMethod: workossim.AuthAPIKey, Config: map[string]string{}},
			`"object":"credential","auth_method":"api_key","value":"canary_github_1_daf6525caac3c24a","config":{}`},
		"of a method of the future": {workossim.Connection{ID: alice, AuthMethod: "passkey"},
			`"object":"credential","auth_method":"passkey","value":"canary_github_1_daf6525caac3c24a"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, test.connection)
			h.unconventional = test.connection.AuthMethod == "passkey"
			h.want(h.post(workossim.EndpointCredentials, "github", `{"user_id":"user_alice"}`), 200, `{"active":true,"credential":{`+test.want+`}}`)
			token := h.post(workossim.EndpointToken, "github", `{"user_id":"user_alice"}`)
			if oauth := test.connection.AuthMethod == ""; oauth != (token.Status == 200) {
				t.Errorf("the token endpoint answers %d %s", token.Status, token.Body)
			}
			if expires, ok := h.sim.Available(alice, start); !ok {
				t.Errorf("not available: %s", expires)
			}
			h.sim.SetState(alice, workossim.NeedsReauthorization)
			h.want(h.post(workossim.EndpointCredentials, "github", `{"user_id":"user_alice"}`), 200, `{"active":false,"error":"needs_reauthorization"}`)
		})
	}
}

func TestAnAPIKeyChangesOnlyWhenItIsRotated(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice, AuthMethod: workossim.AuthAPIKey, Lifetime: time.Minute, AlwaysFresh: true})
	ask := func() string { return h.post(workossim.EndpointCredentials, "github", `{"user_id":"user_alice"}`).Body }
	first := ask()
	h.step(time.Hour)
	if again := ask(); again != first || h.sim.Expire(alice) {
		t.Errorf("got %s after %s", again, first)
	}
	if !h.sim.RotateKey(alice) || ask() == first {
		t.Error("the key is the same after its rotation")
	}
	h.sim.SetState(alice, workossim.NotInstalled)
	if h.sim.RotateKey(alice) {
		t.Error("rotated the key of a connection that is not connected")
	}
}

func TestTheTokenEndpointRefusesOtherMethods(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice, AuthMethod: workossim.AuthAPIKey})
	h.want(h.call(alice), 422, `{"message":"The connected account does not use OAuth.","code":"auth_method_mismatch"}`)
	h.sim.SetState(alice, workossim.NotInstalled)
	h.want(h.call(alice), 200, notInstalled)
	h.wantResults("auth_method_mismatch", "not_installed")
}

func TestAnOlderEnvironmentHasNoCredentials(t *testing.T) {
	h := newHarnessOf(t, workossim.Options{NoCredentialsEndpoint: true, Connections: []workossim.Connection{{ID: alice}}})
	h.want(h.post(workossim.EndpointCredentials, "github", `{"user_id":"user_alice"}`), 404, `{"message":"Not Found"}`)
	h.token(alice)
}

func TestTheNewerValidationHasACode(t *testing.T) {
	h := newHarnessOf(t, workossim.Options{ValidationCode: true, Connections: []workossim.Connection{{ID: alice}}})
	const want = `{"message":"Validation failed.","code":"invalid_request_parameters","errors":[{"code":"required","message":"user_id is required"}]}`
	h.want(h.post(workossim.EndpointToken, "github", `{}`), 422, want)
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultValidation})
	h.want(h.call(alice), 422, strings.ReplaceAll(want, "required", "invalid"))
}

func TestTheExpiryMayHaveAnyFormOfISO8601(t *testing.T) {
	for layout, want := range map[string]string{
		"2006-01-02T15:04:05-0700": "2026-11-23T14:00:00+0000", "2006-01-02T15:04Z07:00": "2026-11-23T14:00Z", time.DateOnly: "2026-11-23",
	} {
		h := newHarness(t, workossim.Connection{ID: alice, ExpiryLayout: layout})
		h.unconventional = true
		for _, e := range []workossim.Endpoint{workossim.EndpointToken, workossim.EndpointCredentials} {
			if got := h.post(e, "github", `{"user_id":"user_alice"}`); !strings.Contains(got.Body, `"expires_at":"`+want+`"`) {
				t.Errorf("%s: got %s, want %s", e, got.Body, want)
			}
		}
	}
}

func TestTwoIDsOfOneConnectionMeanTheSame(t *testing.T) {
	owner, account := alice, alice
	owner.Owner = workossim.OwnerUser
	account.AccountID = workossim.AccountID(alice)
	h := newHarness(t, workossim.Connection{ID: owner})
	h.token(alice)
	want, _, _ := h.sim.CurrentToken(alice)
	for _, id := range []workossim.ID{owner, account} {
		if got, _, ok := h.sim.CurrentToken(id); !ok || got != want {
			t.Errorf("%+v: got %q, want %q", id, got, want)
		}
	}
	if got := workossim.TokenValue(workossim.Connection{ID: account}, 1); got != want {
		t.Errorf("TokenValue is %q, want %q", got, want)
	}
	if got := h.sim.RequestsFor(owner); len(got) != 1 {
		t.Errorf("recorded %+v", got)
	}
	other := alice
	other.AccountID = "data_installation_other"
	if workossim.TokenValue(workossim.Connection{ID: other}, 1) == want || workossim.AccountID(other) == workossim.AccountID(alice) {
		t.Error("two connections share a token or an account ID")
	}
}
