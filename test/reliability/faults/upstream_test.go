//go:build reliability

package faults_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// upstream is WorkOS. Like a door, it can intervene in calls. Replicas reach it through wires.
type upstream struct {
	*workossim.Simulator
	address string

	mu    sync.Mutex
	rules map[workossim.ID]func() *intervention
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{Simulator: workossim.New(workossim.Options{APIKeys: []string{apiKey}}), rules: map[workossim.ID]func() *intervention{}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(u.serve))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(func() { u.Close(); server.CloseClientConnections(); server.Close() })
	u.address = server.Listener.Addr().String()
	return u
}

// set sets the rule for the calls for one connection. nil removes the rule.
func (u *upstream) set(id workossim.ID, rule func() *intervention) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if rule == nil {
		delete(u.rules, id)
		return
	}
	u.rules[id] = rule
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller has closed the connection
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	i := u.intervene(called(r.URL.Path, body))
	if i == nil {
		u.ServeHTTP(w, r)
		return
	}
	if i.before != nil {
		i.before()
	}
	if i.hangUp {
		panic(http.ErrAbortHandler)
	}
	held := httptest.NewRecorder()
	u.ServeHTTP(held, r)
	if i.after != nil {
		i.after()
	}
	for name, values := range held.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(held.Code)
	_, _ = w.Write(held.Body.Bytes()) // fails if the caller has closed the connection
}

func (u *upstream) intervene(id workossim.ID) *intervention {
	u.mu.Lock()
	defer u.mu.Unlock()
	if rule := u.rules[id]; rule != nil {
		return rule()
	}
	return nil
}

// called is the connection that a call asks for.
func called(path string, body []byte) workossim.ID {
	var parameters struct {
		UserID         string `json:"user_id"`
		OrganizationID string `json:"organization_id"`
	}
	_ = json.Unmarshal(body, &parameters) // a body that cannot be parsed belongs to no connection
	slug, _, _ := strings.Cut(strings.TrimPrefix(path, "/data-integrations/"), "/")
	return workossim.ID{Slug: slug, UserID: parameters.UserID, OrganizationID: parameters.OrganizationID}
}
