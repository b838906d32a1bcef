package workossim_test

import (
	"strings"
	"testing"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

func TestControlOfAccounts(t *testing.T) {
	h := newHarness(t)
	h.wantControl("POST", "connections", `{"slug":"github","organizationID":"org_1","owner":"organization","accountID":"data_installation_2","authMethod":"api_key"}`, 200,
		`{"slug":"github","userID":"","organizationID":"org_1","owner":"organization","accountID":"data_installation_2","state":"connected","authMethod":"api_key","tokenSerial":1}`)
	h.wantControl("POST", "rotate", `{"slug":"github","userID":"user_alice","organizationID":"org_1","owner":"organization","accountID":"data_installation_2"}`, 200,
		`{"slug":"github","userID":"","organizationID":"org_1","owner":"organization","accountID":"data_installation_2","state":"connected","authMethod":"api_key","tokenSerial":2}`)
	h.wantControl("POST", "members", `{"organizationID":"org_1","userIDs":["user_alice"]}`, 204, "")
	for user, status := range map[string]int{"user_alice": 200, "user_bob": 403} {
		got := h.post(workossim.EndpointCredentials, "github", `{"user_id":"`+user+`","organization_id":"org_1","connection_owner":"organization","supports_multiple_connections":true}`)
		if got.Status != status {
			t.Errorf("%s: got %d %s", user, got.Status, got.Body)
		}
	}
}

func TestControlOfEvents(t *testing.T) {
	h := newHarness(t)
	h.wantControl("GET", "events", "", 200, `{"events":[]}`)
	h.wantControl("POST", "event-rules", `{"lose":1}`, 204, "")
	h.wantControl("POST", "state", `{"slug":"github","userID":"user_bob","state":"connected"}`, 200,
		`{"slug":"github","userID":"user_bob","state":"connected","tokenSerial":1,"expiresAt":"2026-11-23T14:00:00Z"}`)
	h.wantControl("POST", "events", `{"type":"pipes.connected_account.disconnected","connection":{"slug":"github","userID":"user_alice"},"createdAt":"2026-11-23T12:00:00Z"}`,
		200, `{"id":"event_01000000000000000000000001"}`)
	h.wantControl("GET", "events", "", 200, `{"events":[{"id":"event_01000000000000000000000001","type":"pipes.connected_account.disconnected",`+
		`"createdAt":"2026-11-23T12:00:00Z","connection":{"slug":"github","userID":"user_alice"},"state":"connected"}]}`)
	if got := h.events().kinds(); got != "disconnected alice" {
		t.Errorf("got %s", got)
	}
	h.wantControl("DELETE", "events", "", 204, "")
	h.wantControl("POST", "event-rules", `{"forbidden":true,"delay":"1m","knownFamilies":["pipes.connected_account."]}`, 204, "")
	if got := h.poll(); got.Status != 403 {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
	h.wantControl("POST", "event-rules", `{"forbidden":false}`, 204, "")
	h.sim.SetState(alice, workossim.Connected)
	if got := h.events().kinds(); got != "" {
		t.Errorf("not delayed: %s", got)
	}
	if got := h.poll("events", string(workossim.EventAddFailed)); got.Status != 422 {
		t.Errorf("an unknown type: got %d %s", got.Status, got.Body)
	}
	if got := h.control("GET", "event-requests", ""); strings.Count(got.Body, `"endpoint":"events"`) != 4 {
		t.Errorf("got %s", got.Body)
	}
	h.wantControl("GET", "total", "", 200, `{"total":0}`)
}
