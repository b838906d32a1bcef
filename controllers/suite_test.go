package controllers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/test/harness"
	"github.com/pipes-operator/pipes-operator/test/harness/canary"
)

// The whole suite shares a real API server, and collects the output of all operators under test.
var (
	apiServer *rest.Config
	scheme    = harness.Scheme
	// user is a client of the person with kubectl, without a cache and without a rate limit.
	user client.Client
	said = &transcript{}
)

func TestControllers(t *testing.T) {
	RegisterFailHandler(Fail)
	suite, reporter := GinkgoConfiguration()
	suite.RandomizeAllSpecs = true
	RunSpecs(t, "Controllers", suite, reporter)
}

var _ = BeforeSuite(func() {
	logger := zap.New(zap.WriteTo(said), zap.UseDevMode(true), zap.Level(zapcore.Level(-10)))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	DeferCleanup(func() { ctrl.SetLogger(logr.Discard()) })

	plane, err := harness.Start(harness.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(plane.Stop)
	apiServer, user = plane.Admin, plane.Root
})

// Every token of the simulator, every API key of this suite, and the data of every stranger's
// Secret contain "canary". The output of the operator must never contain that word.
var _ = AfterSuite(func() {
	if apiServer == nil {
		return
	}
	expectNoCanary("the logs", said.String())
	expectNoCanary("metrics", said.metrics.String())
	for _, list := range []client.ObjectList{&v1alpha1.PipesTokenList{}, &v1alpha1.PipesEnvironmentList{}, &eventsv1.EventList{}} {
		Expect(user.List(context.Background(), list)).To(Succeed())
		text, err := json.Marshal(list)
		Expect(err).NotTo(HaveOccurred())
		Expect(meta.LenList(list)).To(BeNumerically(">", 0))
		expectNoCanary(fmt.Sprintf("%T", list), string(text))
	}
	secrets := &corev1.SecretList{}
	Expect(user.List(context.Background(), secrets)).To(Succeed())
	for _, secret := range secrets.Items {
		text, err := json.Marshal(secret.ObjectMeta)
		Expect(err).NotTo(HaveOccurred())
		expectNoCanary("the metadata of a Secret", string(text))
	}
})

func expectNoCanary(where, text string) {
	GinkgoHelper()
	Expect(text).NotTo(BeEmpty(), where)
	Expect(canary.Find(text)).To(BeEmpty(), where)
}

// transcript collects the log, at the highest verbosity, and the metrics.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer
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

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}
