package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/pipes-operator/pipes-operator/internal/sharding"
)

// docs/implement-sharding.md of kubernetes-controller-sharding has the rules for the Lease of a
// shard.
func TestTheLeaseOfAShardTellsTheSharderWhatItIs(t *testing.T) {
	var created coordinationv1.Lease
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/namespaces/pipes-system/leases") {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		if err := json.Unmarshal(text, &created); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text)
	}))
	defer server.Close()
	o, err := parse(t, "--controller-ring=pipes-operator", "--shard-name=manager-x7k2p", "--leader-election-namespace=pipes-system")
	if err != nil {
		t.Fatal(err)
	}
	lock, err := o.ringLease(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, o.leaderElectNamespace)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Create(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: lock.Identity(), LeaseDurationSeconds: 12}); err != nil {
		t.Fatal(err)
	}
	if created.Name != "manager-x7k2p" || created.Spec.HolderIdentity == nil || *created.Spec.HolderIdentity != created.Name {
		t.Errorf("the Lease is %q, held by %v: the sharder wants one name for both", created.Name, created.Spec.HolderIdentity)
	}
	if got := created.Labels[sharding.RingLabel]; got != "pipes-operator" {
		t.Errorf("the label of the ring is %q", got)
	}
}
