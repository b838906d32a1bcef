package workossim_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

func TestAuthorizeReturnsAURLThatIsRecognisable(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	ask := func(body string) reply { return h.post(workossim.EndpointAuthorize, "github", body) }
	first := ask(`{"user_id":"user_alice","return_to":"https://a.example/done","config":{"account":"a"}}`)
	const begin = `{"url":"https://api.workos.com/data-integrations/` + workossim.DefaultTokenMarker
	if first.Status != 200 || !strings.HasPrefix(first.Body, begin) || !strings.HasSuffix(first.Body, `/authorize-redirect"}`) {
		t.Errorf("got %d %s", first.Status, first.Body)
	}
	if again := ask(`{"user_id":"user_alice"}`); again.Body == first.Body {
		t.Errorf("got the same URL again: %s", again.Body)
	}
	h.want(ask(`{}`), 400, `{"message":"user_id is required."}`)
	h.want(ask(`{"user_id":"user_alice","return_to":"done"}`), 400, `{"message":"return_to is invalid."}`)
	h.want(ask(`{"user_id":"user_alice","config":{"account":1}}`), 400, `{"message":"config is invalid."}`)
	h.want(ask(`no JSON`), 400, `{"message":"The request body is not a JSON object."}`)
	h.sim.SetMembers("org_1", "user_bob")
	h.want(ask(`{"user_id":"user_alice","organization_id":"org_1","connection_owner":"organization"}`), 403,
		`{"message":"The user is not an active member of the organization."}`)
	h.want(h.post(workossim.EndpointAuthorize, "gitlab", `{"user_id":"user_alice"}`), 404, `{"message":"The data integration was not found."}`)
	h.sim.SetAPIKeys("sk_other")
	h.want(ask(`{"user_id":"user_alice"}`), 401, "")
	if got := h.sim.RequestsTo(workossim.EndpointAuthorize); len(got) != 9 || len(h.sim.Requests()) != 0 {
		t.Errorf("recorded %+v", got)
	}
}

func TestTheConnectedAccountIsTheCompatibilityConnection(t *testing.T) {
	second := workossim.ID{Slug: "linear", UserID: "user_alice", AccountID: "data_installation_second"}
	h := newHarness(t, workossim.Connection{ID: alice, Scopes: []string{"repo"}}, workossim.Connection{ID: bob, AuthMethod: workossim.AuthAPIKey}, workossim.Connection{ID: second})
	path := func(user, slug string) string {
		return "/user_management/users/" + user + "/connected_accounts/" + slug
	}
	h.want(h.get(path("user_alice", "github")), 200, `{"object":"connected_account","id":"`+workossim.AccountID(alice)+`","user_id":"user_alice","organization_id":null,`+
		`"scopes":["repo"],"auth_method":"oauth","state":"connected","created_at":"2026-11-23T13:00:00.000Z","updated_at":"2026-11-23T13:00:00.000Z"}`)
	h.sim.SetState(bob, workossim.NeedsReauthorization)
	if got := h.get(path("user_bob", "github") + "?organization_id=org_1").Body; !strings.Contains(got, `"organization_id":"org_1","scopes":[],"auth_method":"api_key","state":"needs_reauthorization"`) {
		t.Errorf("got %s", got)
	}
	h.sim.SetState(bob, "paused")
	if got := h.get(path("user_bob", "github") + "?organization_id=org_1").Body; !strings.Contains(got, `"state":"disconnected"`) {
		t.Errorf("got %s", got)
	}
	h.want(h.get(path("user_bob", "github")), 404, accountNotFound)
	h.want(h.get(path("user_alice", "linear")), 404, accountNotFound)
	h.want(h.get(path("user_alice", "gitlab")), 404, `{"message":"The data integration was not found."}`)
	if got := h.exchange("POST", path("user_alice", "github"), `{}`); got.Status != 405 || got.Header.Get("Allow") != "GET" {
		t.Errorf("POST: got %d %v", got.Status, got.Header)
	}
}

func TestDataProvidersListEveryAccountButNoToken(t *testing.T) {
	second := workossim.ID{Slug: "github", UserID: "user_bob", OrganizationID: "org_1", AccountID: "data_installation_second"}
	shared := workossim.ID{Slug: "linear", OrganizationID: "org_1", Owner: workossim.OwnerOrganization}
	h := newHarness(t, workossim.Connection{ID: bob}, workossim.Connection{ID: second}, workossim.Connection{ID: shared})
	list := func(query string) string {
		got := h.get("/user_management/users/user_bob/data_providers?organization_id=org_1" + query)
		var decoded struct {
			Data []struct {
				Slug     string                `json:"slug"`
				One      *struct{ ID string }  `json:"connected_account"`
				Accounts []struct{ ID string } `json:"connected_accounts"`
			} `json:"data"`
		}
		if err := json.Unmarshal([]byte(got.Body), &decoded); err != nil || got.Status != 200 || strings.Contains(got.Body, workossim.DefaultTokenMarker) {
			t.Fatalf("got %d %s, %v", got.Status, got.Body, err)
		}
		var lines []string
		for _, provider := range decoded.Data {
			line := provider.Slug
			if provider.One != nil {
				line += " " + provider.One.ID
			}
			for _, account := range provider.Accounts {
				line += " + " + account.ID
			}
			lines = append(lines, line)
		}
		return strings.Join(lines, "; ")
	}
	if got, want := list(""), "github "+workossim.AccountID(bob)+"; linear"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want := "github " + workossim.AccountID(bob) + " + " + workossim.AccountID(bob) + " + data_installation_second; linear + " + workossim.AccountID(shared)
	if got := list("&supports_multiple_connections=true"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestUnknownUsersAndOrganizationsMayBe404(t *testing.T) {
	h := newHarnessOf(t, workossim.Options{
		UnknownUserNotFound: true, Connections: []workossim.Connection{{ID: bob}}, Members: map[string][]string{"org_2": {"user_carol"}},
	})
	const unknown = `{"message":"The user or organization was not found."}`
	for body, status := range map[string]int{
		`{"user_id":"user_bob","organization_id":"org_1"}`:                                     200,
		`{"user_id":"user_bob","organization_id":"org_9"}`:                                     404,
		`{"user_id":"user_dave","organization_id":"org_1"}`:                                    404,
		`{"user_id":"user_carol"}`:                                                             200,
		`{"user_id":"user_bob","organization_id":"org_2","connection_owner":"organization"}`:   403,
		`{"user_id":"user_carol","organization_id":"org_2","connection_owner":"organization"}`: 200,
	} {
		for _, endpoint := range []workossim.Endpoint{workossim.EndpointToken, workossim.EndpointCredentials, workossim.EndpointAuthorize} {
			if got := h.post(endpoint, "github", body); got.Status != status || status == 404 && got.Body != unknown {
				t.Errorf("%s %s: got %d %s", endpoint, body, got.Status, got.Body)
			}
		}
	}
	h.want(h.get("/user_management/users/user_dave/data_providers"), 404, unknown)
}

func TestFaultsApplyToTheirEndpointOnly(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice}, workossim.Connection{ID: bob, AuthMethod: workossim.AuthAPIKey})
	credentials := func() reply {
		return h.post(workossim.EndpointCredentials, "github", `{"user_id":"user_bob","organization_id":"org_1"}`)
	}
	good := credentials().Body
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultServerError, Times: 1}) // the token endpoint
	h.want(credentials(), 200, good)
	if _, ok := h.sim.Available(bob, start); !ok {
		t.Error("a fault of the token endpoint makes an API key unavailable")
	}
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultEmptyToken, Endpoint: workossim.EndpointCredentials, Match: &bob, Times: 1})
	if _, ok := h.sim.Available(bob, start); ok {
		t.Error("available in spite of a fault")
	}
	h.want(credentials(), 200, `{"active":true,"credential":{"object":"credential","auth_method":"api_key","value":""}}`)
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultExpiredToken, Endpoint: workossim.EndpointCredentials, Times: 1})
	if got := credentials().Body; !strings.Contains(got, `"expires_at":"2026-11-23T12:00:00.000Z"`) {
		t.Errorf("got %s", got)
	}
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultExtraFields, Endpoint: workossim.EndpointCredentials, Times: 1})
	if got := credentials().Body; !strings.Contains(got, `"x_future_field":"unknown"},"x_future_object"`) {
		t.Errorf("got %s", got)
	}
	h.call(alice) // uses up the first fault
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultStatus, Status: 403, Endpoint: workossim.AnyEndpoint, Times: 2})
	if one, other := h.poll().Status, credentials().Status; one != 403 || other != 403 {
		t.Errorf("got %d and %d", one, other)
	}
	shared := workossim.ID{Slug: "github", OrganizationID: "org_1", Owner: workossim.OwnerOrganization}
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultServerError, Match: &shared})
	h.token(alice)
	if got := h.post(workossim.EndpointToken, "github", `{"user_id":"user_alice","organization_id":"org_1","connection_owner":"organization"}`); got.Status != 500 {
		t.Errorf("the organization: got %d %s", got.Status, got.Body)
	}
}
