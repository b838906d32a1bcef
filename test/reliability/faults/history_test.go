//go:build reliability

package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// history contains every version of all Secrets, PipesTokens, PipesEnvironments, events and
// Leases, in the order in which they were stored. It is read from etcd, so neither the operator
// nor a restart of the API server can change it.
type history struct {
	mu       sync.Mutex
	versions []version
	errs     []error
	// seen is the revision of the last change. moved is closed, and replaced, when seen changes.
	seen  int64
	moved chan struct{}
}

// version is the state of an object from one time on.
type version struct {
	at       time.Time
	revision int64
	kind     string
	// name is namespace/name.
	name string
	// The stored object. All five are nil if the object was deleted, or is of another kind.
	secret      *corev1.Secret
	token       *v1alpha1.PipesToken
	environment *v1alpha1.PipesEnvironment
	event       *corev1.Event
	lease       *coordinationv1.Lease
}

// The kinds of versions, as in the keys of etcd.
const (
	secretKind      = "secrets"
	tokenKind       = v1alpha1Group + "/pipestokens"
	environmentKind = v1alpha1Group + "/pipesenvironments"
	eventKind       = "events"
	leaseKind       = "leases"
)

var kinds = []string{secretKind, tokenKind, environmentKind, eventKind, leaseKind}

// keepHistory starts to record the history, until the test ends.
func keepHistory(t *testing.T, e *etcd) *history {
	t.Helper()
	h := &history{moved: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var keeping sync.WaitGroup
	keeping.Go(func() {
		if err := e.watch(ctx, 1, h.note); ctx.Err() == nil {
			h.fail(fmt.Errorf("the history has a gap: %w", err))
		}
	})
	t.Cleanup(func() { cancel(); keeping.Wait() })
	return h
}

func (h *history) note(change etcdEvent) {
	v := version{at: time.Now(), revision: change.Entry.Revision}
	err := v.read(string(change.Entry.Key), change.Entry.Value, change.Type == "DELETE")
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.errs = append(h.errs, err)
	}
	if v.kind != "" {
		h.versions = append(h.versions, v)
	}
	h.seen = change.Entry.Revision
	close(h.moved)
	h.moved = make(chan struct{})
}

// read parses the key and the value of an object.
func (v *version) read(key string, value []byte, deleted bool) error {
	path := strings.TrimPrefix(key, "/registry/")
	for _, kind := range kinds {
		if name, found := strings.CutPrefix(path, kind+"/"); found {
			v.kind, v.name = kind, name
		}
	}
	if v.kind == "" || deleted {
		return nil
	}
	var err error
	switch v.kind {
	case tokenKind:
		v.token = &v1alpha1.PipesToken{}
		err = json.Unmarshal(value, v.token)
	case environmentKind:
		v.environment = &v1alpha1.PipesEnvironment{}
		err = json.Unmarshal(value, v.environment)
	default:
		var object runtime.Object
		object, _, err = clientgoscheme.Codecs.UniversalDeserializer().Decode(value, nil, nil)
		v.secret, _ = object.(*corev1.Secret)
		v.event, _ = object.(*corev1.Event)
		v.lease, _ = object.(*coordinationv1.Lease)
	}
	if err == nil && v.deleted() {
		err = fmt.Errorf("it is of another type")
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", key, err)
	}
	return nil
}

// deleted reports whether this version is the deletion of the object.
func (v version) deleted() bool {
	return v.secret == nil && v.token == nil && v.environment == nil && v.event == nil && v.lease == nil
}

func (h *history) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.errs = append(h.errs, err)
}

// of returns the versions so far of one kind, or of all kinds if kind is empty; with a name, of
// one object. It fails the test if the history has gaps.
func (h *history) of(t *testing.T, kind, name string) []version {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, err := range h.errs {
		t.Errorf("the history is not complete: %v", err)
	}
	var found []version
	for _, v := range h.versions {
		if (kind == "" || v.kind == kind) && (name == "" || v.name == name) {
			found = append(found, v)
		}
	}
	return found
}

// catchUp waits until the history contains everything that is stored now.
func (h *history) catchUp(t *testing.T, e *etcd) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	revision, err := e.revision(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for {
		h.mu.Lock()
		seen, moved := h.seen, h.moved
		h.mu.Unlock()
		if seen >= revision {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			t.Fatalf("the history has come to revision %d, and not to %d", seen, revision)
		}
	}
}
