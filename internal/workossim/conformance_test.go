package workossim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// schemas are the schemas of testdata, by endpoint and status. An error that is the same at each
// endpoint has the endpoint "error".
var schemas = sync.OnceValues(func() (map[string]*spec.Schema, error) {
	files, err := filepath.Glob("testdata/schemas/*.json")
	if err != nil {
		return nil, err
	}
	schemas := map[string]*spec.Schema{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		schema := &spec.Schema{}
		if err := json.Unmarshal(content, schema); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		schemas[strings.TrimSuffix(filepath.Base(file), ".json")] = schema
	}
	return schemas, nil
})

// conform validates an answer against its schema, and returns the name of the schema.
func conform(e workossim.Endpoint, status int, body string) (name string, err error) {
	if status == 401 { // WorkOS promises no body
		if body != "" {
			return "", errors.New("401 with a body")
		}
		return "", nil
	}
	all, err := schemas()
	if err != nil {
		return "", err
	}
	name = fmt.Sprintf("%s.%d", e, status)
	if all[name] == nil {
		name = "error." + strconv.Itoa(status)
	}
	if all[name] == nil {
		return "", fmt.Errorf("no schema for %d of %s", status, e)
	}
	var decoded any
	if err := json.Unmarshal([]byte(body), &decoded); err != nil {
		return name, err
	}
	result := validate.NewSchemaValidator(all[name], nil, "", strfmt.Default).Validate(decoded)
	return name, result.AsError()
}

// genuine reports whether the simulator claims that WorkOS could send an answer with the result.
func genuine(result string) bool {
	kind := workossim.FaultKind(result)
	return kind == workossim.FaultAccountSelection || kind == workossim.FaultAuthMethodMismatch ||
		!slices.Contains(workossim.FaultKinds(), kind)
}

// checkConformance validates each answer that any test of this package receives, unless a fault
// or an event of the test has decided its content.
func (h *harness) checkConformance(got reply) {
	h.Helper()
	id := got.Header.Get("X-Request-ID")
	for _, r := range h.allRequests() {
		if r.RequestID != id || !genuine(r.Result) {
			continue
		}
		name, err := conform(r.Endpoint, got.Status, got.Body)
		if err != nil && !h.unconventional {
			h.Errorf("%s, result %s: the answer %d %s does not conform to %s: %v", r.Endpoint, r.Result, got.Status, got.Body, name, err)
		}
		if h.note != nil {
			h.note(name)
		}
	}
}

func (h *harness) allRequests() []workossim.Request {
	requests := h.sim.Requests()
	for _, e := range []workossim.Endpoint{
		workossim.EndpointEvents, workossim.EndpointAuthorize, workossim.EndpointConnectedAccounts, workossim.EndpointDataProviders,
	} {
		requests = append(requests, h.sim.RequestsTo(e)...)
	}
	return requests
}

func TestEveryKindOfAnswerConforms(t *testing.T) {
	clientCredentials := workossim.ID{Slug: "salesforce", UserID: "user_alice"}
	second := workossim.ID{Slug: "github", UserID: "user_alice", AccountID: "data_installation_second"}
	used := map[string]bool{}
	for _, validationCode := range []bool{false, true} {
		h := newHarnessOf(t, workossim.Options{
			ValidationCode: validationCode,
			EventFamilies:  []workossim.EventFamily{workossim.FamilyConnectedAccount, workossim.FamilyAccountConnection},
			Members:        map[string][]string{"org_1": {"user_bob"}},
		})
		h.note = func(schema string) { used[schema] = true }
		h.sim.Put(workossim.Connection{ID: alice, Scopes: []string{"repo"}, MissingScopes: []string{"user"}, Config: map[string]string{"a": "b"}})
		h.sim.Put(workossim.Connection{ID: bob, AuthMethod: workossim.AuthAPIKey})
		h.sim.Put(workossim.Connection{ID: second, NoExpiry: true})
		h.sim.Put(workossim.Connection{ID: clientCredentials, AuthMethod: workossim.AuthClientCredentials})
		h.sim.Put(workossim.Connection{ID: workossim.ID{Slug: "linear", OrganizationID: "org_1", Owner: workossim.OwnerOrganization}, State: workossim.NeedsReauthorization})
		h.sim.Remove(workossim.ID{Slug: "linear", OrganizationID: "org_1", Owner: workossim.OwnerOrganization})
		for _, eventType := range workossim.EventTypes(workossim.FamilyConnectedAccount, workossim.FamilyAccountConnection) {
			h.sim.Emit(workossim.Event{Type: eventType, Connection: bob})
		}
		for _, body := range []string{
			`[]`, `{}`, `{"user_id":"user_alice"}`, `{"user_id":"user_alice","supports_multiple_connections":true}`,
			`{"user_id":"user_alice","connected_account_id":"data_installation_second"}`, `{"user_id":"user_alice","connected_account_id":"other"}`,
			`{"user_id":"user_bob","organization_id":"org_1"}`, `{"user_id":"user_bob","organization_id":"org_1","connection_owner":"organization"}`,
			`{"user_id":"user_alice","organization_id":"org_1","connection_owner":"organization"}`,
		} {
			for _, slug := range []string{"github", "salesforce", "linear", "unknown"} {
				for _, e := range []workossim.Endpoint{workossim.EndpointToken, workossim.EndpointCredentials, workossim.EndpointAuthorize} {
					h.post(e, slug, body)
				}
			}
		}
		all := typesOf(workossim.FamilyConnectedAccount, workossim.FamilyAccountConnection)
		for _, pairs := range [][]string{{}, {"events", all}, {"events", all, "limit", "2"}, {"events", "user.created"}, {"limit", "0"}, {"after", "event_9"}} {
			h.poll(pairs...)
		}
		for _, path := range []string{
			"connected_accounts/github", "connected_accounts/linear", "connected_accounts/unknown",
			"data_providers", "data_providers?supports_multiple_connections=true&organization_id=org_1", "unknown",
		} {
			h.get("/user_management/users/user_alice/" + path)
			h.get("/user_management/users/user_bob/" + path)
		}
		h.exchange("PUT", "/events", "{}")
		h.sim.SetAPIKeys("sk_other")
		h.poll()
		h.call(alice)
	}
	all, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !used[name] {
			t.Errorf("no answer has the schema %s", name)
		}
	}
}

func TestTheSchemasRejectAnswersThatDoNotConform(t *testing.T) {
	for _, test := range []struct {
		endpoint workossim.Endpoint
		status   int
		body     string
	}{
		{workossim.EndpointToken, 200, `{"active":true}`},
		{workossim.EndpointToken, 200, `{"active":false}`},
		{workossim.EndpointToken, 200, `{"active":true,"access_token":{"object":"access_token","access_token":"a","scopes":[],"missing_scopes":[]}}`},
		{workossim.EndpointToken, 200, `{"active":true,"access_token":{"object":"access_token","access_token":"a","expires_at":"soon","scopes":[],"missing_scopes":[]}}`},
		{workossim.EndpointToken, 200, `{"active":true,"access_token":{"object":"access_token","access_token":"a","expires_at":null,"scopes":null,"missing_scopes":[]}}`},
		{workossim.EndpointToken, 200, `{"active":false,"error":"not_installed","extra":1}`},
		{workossim.EndpointCredentials, 200, `{"active":true,"credential":{"object":"credential","auth_method":"api_key","value":"a","expires_at":null}}`},
		{workossim.EndpointCredentials, 200, `{"active":true,"credential":{"object":"credential","auth_method":"client_credentials","value":"a","expires_at":null,"scopes":[],"missing_scopes":[]}}`},
		{workossim.EndpointAuthorize, 200, `{"url":"https://a.example/"}`},
		{workossim.EndpointEvents, 200, `{"object":"list","data":[],"list_metadata":{}}`},
		{workossim.EndpointEvents, 200, `{"object":"list","data":[{"object":"event","id":"event_1","event":"pipes.connected_account.connected","data":{},"created_at":"2026-11-23T13:00:00.000Z"}],"list_metadata":{"after":null}}`},
		{workossim.EndpointConnectedAccounts, 200, `{"object":"connected_account"}`},
		{workossim.EndpointDataProviders, 200, `{"object":"list","data":[{}]}`},
		{workossim.EndpointToken, 409, `{"message":"Several."}`},
		{workossim.EndpointToken, 422, `{"code":"other","message":"Other."}`},
		{workossim.EndpointToken, 404, ``},
		{workossim.EndpointToken, 401, `{}`},
		{workossim.EndpointToken, 418, `{}`},
	} {
		if _, err := conform(test.endpoint, test.status, test.body); err == nil {
			t.Errorf("%d %s of %s conforms", test.status, test.body, test.endpoint)
		}
	}
}
