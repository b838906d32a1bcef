//go:build reliability

package faults_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
)

// request is a request of a replica to the API server.
type request struct {
	method    string
	group     string
	resource  string
	namespace string
	name      string
	// subresource is empty for the object itself.
	subresource string
	watch       bool
	// dryRun: the request stores nothing.
	dryRun bool
	// about is the namespace and name of the object that is written. For an event it is the
	// object that the event is about.
	about string
}

func (r request) isWrite() bool { return r.method != http.MethodGet && !r.dryRun }

// isLease reports whether the request belongs to the leader election.
func (r request) isLease() bool { return r.resource == "leases" }

// String describes the request without names that differ from run to run.
func (r request) String() string {
	resource := r.resource
	if r.subresource != "" {
		resource += "/" + r.subresource
	}
	return r.method + " " + resource
}

// readRequest parses a request. Its path is /api/v1/… or /apis/group/version/…, then
// namespaces/namespace if the resource is in a namespace, then resource, name, subresource.
func readRequest(r *http.Request, body []byte) request {
	seen := request{method: r.Method, dryRun: r.URL.Query().Get("dryRun") != "", watch: r.URL.Query().Get("watch") == "true" || r.URL.Query().Get("watch") == "1"}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		seen.group, parts = parts[1], parts[3:]
	default:
		return seen
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		seen.namespace, parts = parts[1], parts[2:]
	}
	for i, part := range []*string{&seen.resource, &seen.name, &seen.subresource} {
		if i < len(parts) {
			*part = parts[i]
		}
	}
	seen.about = seen.subject(body)
	return seen
}

// subject is the object that a request is about. Events are encoded as protobuf, everything else
// as JSON.
func (r request) subject(body []byte) string {
	if r.method != http.MethodPost {
		return r.namespace + "/" + r.name
	}
	if r.resource == "events" {
		object, _, _ := clientgoscheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
		if event, ok := object.(*eventsv1.Event); ok {
			return event.Regarding.Namespace + "/" + event.Regarding.Name
		}
		return ""
	}
	var object metav1.PartialObjectMetadata
	if json.Unmarshal(body, &object) != nil {
		return ""
	}
	return r.namespace + "/" + object.Name
}

func TestRequestsAreTakenApart(t *testing.T) {
	for _, test := range []struct {
		method, url, body string
		want              request
	}{
		{http.MethodPost, "/api/v1/namespaces/agents/secrets?fieldManager=x", `{"metadata":{"name":"alice"}}`,
			request{method: http.MethodPost, resource: "secrets", namespace: "agents", about: "agents/alice"}},
		{http.MethodPatch, "/apis/pipes.workos.com/v1alpha1/namespaces/agents/pipestokens/alice/status", `{}`,
			request{method: http.MethodPatch, group: v1alpha1Group, resource: "pipestokens", namespace: "agents", name: "alice", subresource: "status", about: "agents/alice"}},
		{http.MethodPost, "/apis/events.k8s.io/v1/namespaces/agents/events", `{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"x.1"},"regarding":{"namespace":"agents","name":"alice"}}`,
			request{method: http.MethodPost, group: "events.k8s.io", resource: "events", namespace: "agents", about: "agents/alice"}},
		{http.MethodGet, "/api/v1/namespaces?watch=true", ``,
			request{method: http.MethodGet, resource: "namespaces", watch: true, about: "/"}},
	} {
		r, err := http.NewRequest(test.method, test.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if got := readRequest(r, []byte(test.body)); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.url, got, test.want)
		}
	}
}
