package workos_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// credential returns an active answer of the credentials endpoint.
func credential(fields string) string { return `{"active":true,"credential":{` + fields + `}}` }

func TestCredentialOfEachMethod(t *testing.T) {
	const noCredential = "the connection is active, but the answer holds no credential"
	const noMethod = `the answer's "credential.auth_method" is missing, or not a string`
	const key, client = workos.MethodAPIKey, workos.MethodClientCredentials
	long := `{"a":"` + strings.Repeat("x", 16<<10) + `"}`
	for name, test := range map[string]struct {
		method           workos.Method
		body             string
		outcome          workos.Outcome
		message          string
		metadata, config string
	}{
		"API key": {key, credential(`"object":"credential","auth_method":"api_key","value":"k"`), workos.OutcomeToken, "", "", ""},
		"API key with config": {key, credential(`"auth_method":"api_key","value":"k","config":{"b":"2", "a":"1"}`),
			workos.OutcomeToken, "", "", `{"a":"1","b":"2"}`},
		"empty config": {key, credential(`"auth_method":"api_key","value":"k","config":{}`), workos.OutcomeToken, "", "", `{}`},
		"config null":  {key, credential(`"auth_method":"api_key","value":"k","config":null`), workos.OutcomeToken, "", "", ""},
		"client credentials": {client, credential(`"auth_method":"client_credentials","value":"k","expires_at":"2026-11-23T14:00:00Z",` +
			`"scopes":["a"],"missing_scopes":[],"metadata":{"instance_url":"https://x","n":12345678901234567890}`),
			workos.OutcomeToken, "", `{"instance_url":"https://x","n":12345678901234567890}`, ""},
		"not installed":    {key, `{"active":false,"error":"not_installed"}`, workos.OutcomeNotInstalled, "the user has not connected this integration", "", ""},
		"another method":   {key, credential(`"auth_method":"oauth","value":"k"`), workos.OutcomeAuthMethodMismatch, "the account needs authMethod OAuth", "", ""},
		"the other method": {key, credential(`"auth_method":"client_credentials","value":"k"`), workos.OutcomeAuthMethodMismatch, "the account needs authMethod ClientCredentials", "", ""},
		"an unknown method": {client, credential(`"auth_method":"m\u0000tls","value":"k"`), workos.OutcomeAuthMethodMismatch,
			"the account uses the method mtls, which this version does not know", "", ""},
		"no credential":        {key, `{"active":true}`, workos.OutcomeUnreadable, noCredential, "", ""},
		"credential null":      {key, `{"active":true,"credential":null}`, workos.OutcomeUnreadable, noCredential, "", ""},
		"a token instead":      {key, goodBody, workos.OutcomeUnreadable, noCredential, "", ""},
		"credential a list":    {key, `{"active":true,"credential":[]}`, workos.OutcomeUnreadable, `the answer's "credential" is not an object`, "", ""},
		"no method":            {key, credential(`"value":"k"`), workos.OutcomeUnreadable, noMethod, "", ""},
		"method a number":      {key, credential(`"auth_method":1,"value":"k"`), workos.OutcomeUnreadable, noMethod, "", ""},
		"no value":             {key, credential(`"auth_method":"api_key"`), workos.OutcomeUnreadable, "the connection is active, but the answer holds no token", "", ""},
		"value with a newline": {key, credential(`"auth_method":"api_key","value":"k\n"`), workos.OutcomeUnreadable, "the token holds characters that no access token can have", "", ""},
		"expiry no time": {client, credential(`"auth_method":"client_credentials","value":"k","expires_at":"soon"`), workos.OutcomeUnreadable,
			`the answer's "credential.expires_at" is not a date and time in ISO 8601`, "", ""},
		"metadata a list": {client, credential(`"auth_method":"client_credentials","value":"k","metadata":[]`), workos.OutcomeUnreadable,
			`the answer's "credential.metadata" has the wrong form`, "", ""},
		"config with a number": {key, credential(`"auth_method":"api_key","value":"k","config":{"a":1}`), workos.OutcomeUnreadable,
			`the answer's "credential.config" has the wrong form`, "", ""},
		"config with null": {key, credential(`"auth_method":"api_key","value":"k","config":{"a":null}`), workos.OutcomeUnreadable,
			`the answer's "credential.config" has the wrong form`, "", ""},
		"long metadata": {client, credential(`"auth_method":"client_credentials","value":"k","metadata":` + long), workos.OutcomeUnreadable,
			`the answer's "credential.metadata" is longer than 16 KiB`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			client := connectOnly(t, workos.Options{Transport: always(http.StatusOK, test.body)}, baseURL)
			got := ask(t, client, workos.Request{Slug: "shop", UserID: "user_alice", Method: test.method})
			if got.Outcome != test.outcome || got.Message != test.message {
				t.Errorf("got %s (%s), want %s (%s)", got.Outcome, got.Message, test.outcome, test.message)
			}
			if metadata, config := got.Token.Metadata.Reveal(), got.Token.Config.Reveal(); metadata != test.metadata || config != test.config {
				t.Errorf("got metadata %q and config %q, want %q and %q", metadata, config, test.metadata, test.config)
			}
			if isToken := test.outcome == workos.OutcomeToken; (got.Token.Value.Reveal() == "k") != isToken {
				t.Errorf("got the token %q", got.Token.Value.Reveal())
			}
			if printed := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(printed, "instance_url") {
				t.Errorf("the answer prints its metadata: %s", printed)
			}
		})
	}
}

// Two requests that differ in one field ask for different connections: none gets the other's token.
func TestEveryFieldOfARequestIsPartOfTheConnection(t *testing.T) {
	requests := []workos.Request{
		{Slug: "shop", UserID: "user", OrganizationID: "org"},
		{Slug: "shop", UserID: "user", OrganizationID: "org", Owner: workos.OwnerOrganization},
		{Slug: "shop", UserID: "user", OrganizationID: "org", AccountID: "data_installation_1"},
		{Slug: "shop", UserID: "user", OrganizationID: "org", AccountID: "data_installation_2"},
		{Slug: "shop", UserID: "user", OrganizationID: "org", Method: workos.MethodAPIKey},
	}
	bodies := map[string]bool{}
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		bodies[r.URL.Path+" "+string(body)] = true
		if strings.HasSuffix(r.URL.Path, "/credentials") {
			return respond(http.StatusOK, credential(`"auth_method":"api_key","value":"k"`)), nil
		}
		return respond(http.StatusOK, goodBody), nil
	})
	client := connectOnly(t, workos.Options{Transport: transport, Clock: steppedClock()}, baseURL)
	for _, request := range requests {
		answer, err := client.Token(t.Context(), request, workos.Turn{Share: "team", Asker: "uid", Deadline: epoch.Add(time.Hour)})
		if err != nil || !answer.Sent {
			t.Errorf("%+v: got %+v, %v", request, answer, err)
		}
	}
	for _, want := range []string{
		`/data-integrations/shop/token {"user_id":"user","organization_id":"org"}`,
		`/data-integrations/shop/token {"user_id":"user","organization_id":"org","connection_owner":"organization"}`,
		`/data-integrations/shop/token {"user_id":"user","organization_id":"org","connected_account_id":"data_installation_1","supports_multiple_connections":true}`,
		`/data-integrations/shop/token {"user_id":"user","organization_id":"org","connected_account_id":"data_installation_2","supports_multiple_connections":true}`,
		`/data-integrations/shop/credentials {"user_id":"user","organization_id":"org"}`,
	} {
		if !bodies[want] {
			t.Errorf("nobody sent %s; there were %v", want, bodies)
		}
	}
}
