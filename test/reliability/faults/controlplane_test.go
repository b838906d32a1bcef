//go:build reliability

package faults_test

import (
	"context"
	"path/filepath"
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
