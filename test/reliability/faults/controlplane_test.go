//go:build reliability

package faults_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/test/harness"
)

// controlPlane is an etcd and a kube-apiserver. The API server can be killed and started again.
type controlPlane struct {
	*harness.ControlPlane
	directory string
	etcd      *etcd
	root      client.Client
}

// startControlPlane starts etcd and the API server, and gives the operator its rights.
func startControlPlane(t *testing.T) *controlPlane {
	t.Helper()
	g, directory := NewWithT(t), t.TempDir()
	plane, err := harness.Start(harness.Options{
		Directory: directory, Abrupt: true,
		// The API server does not publish its own address, so it needs only the loopback address.
		APIServer: map[string]string{"advertise-address": "127.0.0.1", "endpoint-reconciler-type": "none"},
		Etcd:      map[string]string{"log-level": "warn"},
	})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(plane.Stop()).To(Succeed()) })
	g.Expect(plane.Install(context.Background(), allowLeases, "rbac")).To(Succeed())
	return &controlPlane{ControlPlane: plane, directory: directory, etcd: &etcd{url: plane.EtcdURL()}, root: plane.Root}
}

// restartAPIServer kills the API server, calls down, and starts the API server after down has
// returned.
func (c *controlPlane) restartAPIServer(t *testing.T, down func()) {
	t.Helper()
	if err := c.RestartAPIServer(context.Background(), down); err != nil {
		t.Fatal(err)
	}
}

func (c *controlPlane) path(name string) string { return filepath.Join(c.directory, name) }

// electionIDs are the names of the Leases of the replicas that elect a leader.
var electionIDs = []string{"zombie", "storm"}

// allowLeases adds these Leases to the Role, as a user of --leader-election-id must do.
func allowLeases(role *unstructured.Unstructured) error {
	if role.GetKind() != "Role" {
		return nil
	}
	rules, _, err := unstructured.NestedSlice(role.Object, "rules")
	if err != nil {
		return err
	}
	for _, rule := range rules {
		rule := rule.(map[string]any)
		names, named := rule["resourceNames"].([]any)
		if !named {
			continue
		}
		for _, id := range electionIDs {
			names = append(names, id)
		}
		rule["resourceNames"] = names
	}
	return unstructured.SetNestedSlice(role.Object, rules, "rules")
}

// etcd is the storage of the API server. It is never restarted, so it always shows what was
// really stored, even while the API server is down. The tests use its JSON interface.
type etcd struct{ url string }

// etcdHeader is the header of every answer of etcd. The JSON interface writes 64 bit numbers as
// strings.
type etcdHeader struct {
	Revision int64 `json:"revision,string"`
}

// etcdEvent is one change of one key.
type etcdEvent struct {
	Type  string `json:"type"` // empty: put
	Entry struct {
		Key      []byte `json:"key"`
		Value    []byte `json:"value"`
		Revision int64  `json:"mod_revision,string"`
	} `json:"kv"`
}

// revision is the revision of the last change of any key.
func (e *etcd) revision(ctx context.Context) (int64, error) {
	var answer struct {
		Header etcdHeader `json:"header"`
	}
	if err := e.call(ctx, "/v3/kv/range", map[string]any{"key": base64.StdEncoding.EncodeToString([]byte("/none"))}, &answer); err != nil {
		return 0, err
	}
	return answer.Header.Revision, nil
}

// compact deletes the history before now. A client that then asks the API server for an older
// version gets the error that the version is too old, at the latest after a restart of the API
// server, which also keeps old versions in memory.
func (e *etcd) compact(ctx context.Context) error {
	revision, err := e.revision(ctx)
	if err != nil {
		return err
	}
	return e.call(ctx, "/v3/kv/compaction", map[string]any{"revision": strconv.FormatInt(revision, 10), "physical": true}, &struct{}{})
}

func (e *etcd) call(ctx context.Context, path string, request, answer any) error {
	response, err := e.post(ctx, path, request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("reading the answer of etcd to %s: %w", path, err)
	}
	return nil
}

func (e *etcd) post(ctx context.Context, path string, request any) (*http.Response, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	call, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(call)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("etcd answers %s to %s", response.Status, path)
	}
	return response, nil
}

// watch calls tell for every change from a revision on, in order and without gaps, until ctx ends
// or etcd ends the watch.
func (e *etcd) watch(ctx context.Context, from int64, tell func(etcdEvent)) error {
	encode := func(key string) string { return base64.StdEncoding.EncodeToString([]byte(key)) }
	response, err := e.post(ctx, "/v3/watch", map[string]any{"create_request": map[string]any{
		"key": encode("/registry/"), "range_end": encode("/registry0"), "start_revision": strconv.FormatInt(from, 10),
	}})
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	decoder := json.NewDecoder(response.Body)
	for {
		var answer struct {
			Result struct {
				Canceled bool        `json:"canceled"`
				Events   []etcdEvent `json:"events"`
			} `json:"result"`
		}
		if err := decoder.Decode(&answer); err != nil {
			return err
		}
		if answer.Result.Canceled {
			return fmt.Errorf("etcd has ended the watch from revision %d", from)
		}
		for _, event := range answer.Result.Events {
			tell(event)
		}
	}
}
