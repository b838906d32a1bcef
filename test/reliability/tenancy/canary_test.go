//go:build reliability

package tenancy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/test/harness/canary"
)

// Every token of the simulator, every API key and every Secret of this suite contains "canary" in
// its value. The output of the operator must never contain that word.
var (
	said = &transcript{}
	// leaks counts the places where a canary was found.
	leaks atomic.Int32
)

func expectNoCanary(where, text string) {
	GinkgoHelper()
	Expect(text).NotTo(BeEmpty(), where)
	found := canary.Find(text)
	if found != "" {
		leaks.Add(1)
	}
	Expect(found).To(BeEmpty(), where)
}

// expectNoCanaryIn searches everything in a namespace that a user without the right to read
// Secrets can read, and the metadata of Secrets.
func expectNoCanaryIn(ctx context.Context, namespace string) {
	GinkgoHelper()
	for _, list := range []client.ObjectList{&v1alpha1.PipesTokenList{}, &v1alpha1.PipesEnvironmentList{}, &eventsv1.EventList{}} {
		Expect(root.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
		text, err := json.Marshal(list)
		Expect(err).NotTo(HaveOccurred())
		expectNoCanary(fmt.Sprintf("%T in %s", list, namespace), string(text))
	}
	secrets := &corev1.SecretList{}
	Expect(root.List(ctx, secrets, client.InNamespace(namespace))).To(Succeed())
	for _, secret := range secrets.Items {
		text, err := json.Marshal(secret.ObjectMeta)
		Expect(err).NotTo(HaveOccurred())
		expectNoCanary("the metadata of Secret "+secret.Name, string(text))
	}
}

// transcript receives the log, at the highest verbosity. It keeps only the canaries that it
// finds.
type transcript struct {
	mu      sync.Mutex
	entries int
	leaked  []string
	metrics bytes.Buffer
}

// gather adds the metrics of a registry.
func (t *transcript) gather(registry prometheus.Gatherer) {
	families, err := registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, family := range families {
		t.metrics.WriteString(family.String())
	}
}

// Write receives one entry of the log.
func (t *transcript) Write(p []byte) (int, error) {
	entry := string(p)
	found := canary.Find(entry)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries++
	if found != "" {
		t.leaked = append(t.leaked, found)
		leaks.Add(1)
	}
	return len(p), nil
}

// expectNoCanary expects that the log has entries, and that no entry and no metric contains a
// canary.
func (t *transcript) expectNoCanary() {
	GinkgoHelper()
	t.mu.Lock()
	defer t.mu.Unlock()
	Expect(t.entries).To(BeNumerically(">", 0))
	Expect(t.leaked).To(BeEmpty())
	expectNoCanary("the metrics", t.metrics.String())
}
