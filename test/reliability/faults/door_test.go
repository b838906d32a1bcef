//go:build reliability

package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// door is an HTTP proxy between one replica and the API server. It sees each request, records the
// writes, and can intervene. The replica uses its own credentials, and the door forwards them.
type door struct {
	server *httptest.Server
	proxy  *httputil.ReverseProxy

	mu      sync.Mutex
	rules   map[string]rule
	writes  []write
	watches map[int]context.CancelFunc
	opened  int
}

// rule decides what happens to a request. nil: the request is forwarded.
type rule func(request) *intervention

// intervention is what happens to one request. All fields are optional.
type intervention struct {
	// before is called before the request is forwarded. It may block.
	before func()
	// answer is sent instead of the answer of the API server.
	answer *refusal
	// hangUp closes the connection without an answer, after before has been called.
	hangUp bool
	// after is called when the API server has answered, before the answer is forwarded. With
	// loses, the answer is dropped instead.
	after func()
	loses bool
}

// refusal is an answer that replaces the answer of the API server.
type refusal struct {
	status     int
	reason     string
	retryAfter string
	// inStream sends the refusal as an event of a watch that was accepted.
	inStream bool
}

// write is a write request that has passed a door.
type write struct {
	request
	at time.Time
	// status is the status of the API server's answer; 0 if it did not answer.
	status int
}

// openDoor starts a door to the API server of a control plane.
func openDoor(t *testing.T, c *controlPlane) *door {
	t.Helper()
	target, err := url.Parse("https://" + c.Address())
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(&rest.Config{Host: c.Admin.Host, TLSClientConfig: rest.TLSClientConfig{CAData: c.Admin.CAData}})
	if err != nil {
		t.Fatal(err)
	}
	d := &door{rules: map[string]rule{}, watches: map[int]context.CancelFunc{}}
	d.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = target.Host
		},
		Transport:     transport,
		FlushInterval: -1, // watches must not be buffered
		ErrorLog:      log.New(io.Discard, "", 0),
		// If the API server is down, the replica gets no answer at all.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	d.server = httptest.NewUnstartedServer(d)
	d.server.EnableHTTP2 = true
	d.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	d.server.StartTLS()
	t.Cleanup(func() { d.cutWatches(); d.server.CloseClientConnections(); d.server.Close() })
	return d
}

// address is the address that the door listens on. certificate is its certificate, in PEM.
func (d *door) address() string { return d.server.Listener.Addr().String() }

func (d *door) certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.server.Certificate().Raw})
}

// set sets the rule of that name. nil removes the rule.
func (d *door) set(name string, r rule) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r == nil {
		delete(d.rules, name)
		return
	}
	d.rules[name] = r
}

// cutWatches ends all open watches.
func (d *door) cutWatches() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, cancel := range d.watches {
		cancel()
	}
}

// written returns the writes so far.
func (d *door) written() []write {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.writes)
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the replica has closed the connection
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	seen := readRequest(r, body)
	if seen.watch {
		var forget func()
		r, forget = d.noteWatch(r)
		defer forget()
	}
	d.intervene(seen).serve(w, func(w http.ResponseWriter) { d.forward(w, r, seen) })
}

// serve answers a request. forward gets the answer of the real server.
func (i *intervention) serve(w http.ResponseWriter, forward func(http.ResponseWriter)) {
	if i == nil {
		forward(w)
		return
	}
	if i.before != nil {
		i.before()
	}
	switch {
	case i.hangUp:
		panic(http.ErrAbortHandler)
	case i.answer != nil:
		i.answer.give(w)
		return
	case i.after == nil && !i.loses:
		forward(w)
		return
	}
	held := httptest.NewRecorder()
	forward(held)
	if i.after != nil {
		i.after()
	}
	if i.loses {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), held.Header())
	w.WriteHeader(held.Code)
	_, _ = w.Write(held.Body.Bytes()) // fails if the caller has closed the connection
}

// forward forwards a request. A write is forwarded even if the replica has gone while the request
// was held.
func (d *door) forward(w http.ResponseWriter, r *http.Request, seen request) {
	if !seen.isWrite() {
		d.proxy.ServeHTTP(w, r)
		return
	}
	watched := &statusWriter{ResponseWriter: w}
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.writes = append(d.writes, write{request: seen, at: time.Now(), status: watched.status})
	}()
	d.proxy.ServeHTTP(watched, r.WithContext(context.WithoutCancel(r.Context())))
}

func (d *door) intervene(seen request) *intervention {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(d.rules)) {
		if i := d.rules[name](seen); i != nil {
			return i
		}
	}
	return nil
}

func (d *door) noteWatch(r *http.Request) (cut *http.Request, forget func()) {
	ctx, cancel := context.WithCancel(r.Context())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened++
	id := d.opened
	d.watches[id] = cancel
	return r.WithContext(ctx), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		cancel()
		delete(d.watches, id)
	}
}

// give sends the refusal in the format of the API server.
func (f *refusal) give(w http.ResponseWriter) {
	status := map[string]any{
		"kind": "Status", "apiVersion": "v1", "status": "Failure",
		"message": "a fault of the tests", "reason": f.reason, "code": f.status,
	}
	w.Header().Set("Content-Type", "application/json")
	if f.inStream {
		_ = json.NewEncoder(w).Encode(map[string]any{"type": "ERROR", "object": status})
		return
	}
	if f.retryAfter != "" {
		w.Header().Set("Retry-After", f.retryAfter)
	}
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(status)
}

// statusWriter records the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is needed by http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

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
