//go:build reliability

package tenancy_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	programs "github.com/pipes-operator/pipes-operator/hack/process"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// cluster is an API server with a watch cache, as in production, and one operator in a process of
// its own.
type cluster struct {
	plane     *harness.ControlPlane
	root      client.Client
	workos    *workossim.Simulator
	upstream  string // host:port
	program   string
	directory string
	operator  *programs.Process
	metrics   string // host:port
	markers   int
}

// floodedNamespace is the namespace of the users who fill the operator's memory.
const floodedNamespace = "flooded"

func startCluster(t *testing.T) *cluster {
	t.Helper()
	g := NewWithT(t)
	c := &cluster{directory: t.TempDir()}
	var err error
	c.plane, err = harness.Start(harness.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(c.plane.Stop()).To(Succeed()) })
	c.root = c.plane.Root
	ctx := t.Context()
	g.Expect(c.plane.Install(ctx, nil, "rbac")).To(Succeed())
	for _, file := range []string{"auth_role.yaml", "auth_role_binding.yaml"} {
		g.Expect(c.plane.InstallFile(ctx, "", "metrics", file)).To(Succeed())
	}
	g.Expect(c.plane.CreateNamespaces(ctx, floodedNamespace)).To(Succeed())
	g.Expect(c.plane.AllowAPIKeys(ctx, floodedNamespace)).To(Succeed())
	g.Expect(c.plane.WriteOperatorKubeconfig(ctx, c.path("kubeconfig"))).To(Succeed())

	c.workos = workossim.New(workossim.Options{APIKeys: []string{apiKey}, Slugs: []string{"github"}})
	server := httptest.NewServer(c.workos)
	t.Cleanup(func() { c.workos.Close(); server.Close() })
	c.upstream = strings.TrimPrefix(server.URL, "http://")
	c.create(g, newSecret(floodedNamespace, "workos-api-key", map[string]string{"api-key": apiKey}))
	c.create(g, &v1alpha1.PipesEnvironment{
		ObjectMeta: metav1.ObjectMeta{Namespace: floodedNamespace, Name: "default"},
		Spec: v1alpha1.PipesEnvironmentSpec{
			APIKeySecretRef: v1alpha1.SecretKeyReference{Name: "workos-api-key", Key: "api-key"},
			BaseURL:         server.URL, RequestsPerMinute: 60000,
		},
	})

	c.program, err = harness.BuildOperator(ctx, c.directory, false)
	g.Expect(err).NotTo(HaveOccurred())
	return c
}

func (c *cluster) create(g *WithT, object client.Object) {
	g.Expect(c.root.Create(context.Background(), object)).To(Succeed(), "%T %s", object, object.GetName())
}

// restart stops the running operator and starts a new process. It returns after a new PipesToken
// has got its token.
func (c *cluster) restart(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	c.stop(t)
	addresses, err := programs.FreeAddresses(t.Context(), 2)
	g.Expect(err).NotTo(HaveOccurred())
	c.metrics = addresses[0]
	c.operator, err = harness.StartProgram("pipes-operator", c.path("operator.log"), exec.Command(c.program,
		"--kubeconfig="+c.path("kubeconfig"), "--default-environment="+floodedNamespace+"/default",
		"--allow-insecure-upstream", "--allowed-upstream-hosts="+c.upstream,
		"--metrics-bind-address="+c.metrics, "--health-probe-bind-address="+addresses[1]))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(c.operator.WaitUntil(t.Context(), time.Minute, func(ctx context.Context) error {
		_, err := harness.Get(ctx, http.DefaultClient, "http://"+addresses[1]+"/readyz")
		return err
	})).To(Succeed())
	c.settle(g)
}

func (c *cluster) stop(t *testing.T) {
	t.Helper()
	if c.operator == nil {
		return
	}
	if err := c.operator.Stop(30 * time.Second); err != nil {
		t.Errorf("the operator ended with %v", err)
	}
	c.operator = nil
	text, err := os.ReadFile(c.path("operator.log"))
	if err != nil || strings.Contains(string(text), "Failed to watch") {
		t.Errorf("the end of the operator shows as an error (%v): %s", err, c.log())
	}
}

// settle waits until the operator has processed all earlier events. It creates a PipesToken and
// deletes its Secret. The operator creates the Secret again after the delete event, which is then
// the last event of the Secret watch.
func (c *cluster) settle(g *WithT) (took time.Duration) {
	ctx, name := context.Background(), fmt.Sprintf("marker-%d", c.markers)
	c.markers++
	began := time.Now()
	c.connect(name)
	c.create(g, newPipesToken(name))
	uid := c.awaitSecret(g, name, "")
	took = time.Since(began)
	secret := newSecret(floodedNamespace, name, nil)
	g.Expect(c.root.Delete(ctx, secret)).To(Succeed())
	c.awaitSecret(g, name, uid)
	g.Expect(c.root.Delete(ctx, newPipesToken(name))).To(Succeed())
	// envtest runs no garbage collector.
	g.Expect(c.root.Delete(ctx, newSecret(floodedNamespace, name, nil))).To(Succeed())
	return took
}

func (c *cluster) path(name string) string { return filepath.Join(c.directory, name) }

func (c *cluster) log() string { return programs.Tail(c.path("operator.log"), 15) }

// awaitSecret waits until the Secret of that name exists, has data, and has another UID than
// gone.
func (c *cluster) awaitSecret(g *WithT, name, gone string) (uid string) {
	secret := &corev1.Secret{}
	g.Eventually(func(g Gomega) {
		g.Expect(c.root.Get(context.Background(), client.ObjectKey{Namespace: floodedNamespace, Name: name}, secret)).To(Succeed())
		g.Expect(string(secret.UID)).NotTo(Equal(gone))
		g.Expect(secret.Data).NotTo(BeEmpty())
	}, 2*time.Minute, 20*time.Millisecond).Should(Succeed(), "%s", c.log())
	return string(secret.UID)
}

func newPipesToken(name string) *v1alpha1.PipesToken {
	return &v1alpha1.PipesToken{
		ObjectMeta: metav1.ObjectMeta{Namespace: floodedNamespace, Name: name},
		Spec:       v1alpha1.PipesTokenSpec{Slug: "github", UserID: name},
	}
}

// connect gives a user a connection at WorkOS.
func (c *cluster) connect(user string, change ...func(*workossim.Connection)) {
	connection := workossim.Connection{ID: workossim.ID{Slug: "github", UserID: user}, Lifetime: time.Hour, AlwaysFresh: true}
	for _, change := range change {
		change(&connection)
	}
	c.workos.Put(connection)
}
