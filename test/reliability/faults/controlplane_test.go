//go:build reliability

package faults_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// controlPlane is an etcd and a kube-apiserver on loopback. The API server can be killed and
// started again with the same port, certificate and stored objects.
type controlPlane struct {
	directory string
	etcd      *etcd
	apiServer *program
	// address is the address of the API server, host:port.
	address string
	// admin is the configuration of the cluster administrator. root is a client with that
	// configuration, without a cache and without a rate limit.
	admin *rest.Config
	root  client.Client
}

const adminToken = "administrator-of-the-tests"

// startControlPlane starts etcd and the API server, and installs the CRDs and the roles of
// config/.
func startControlPlane(t *testing.T) *controlPlane {
	t.Helper()
	c := &controlPlane{directory: t.TempDir(), address: freeAddress(t)}
	c.write(t, "tokens.csv", adminToken+",administrator,administrator,\"system:masters\"\n")
	c.writeKey(t, "service-accounts.key")
	c.etcd = startEtcd(t, c.path("etcd"), c.path("etcd.log"))
	c.startAPIServer(t)
	t.Cleanup(func() { c.apiServer.kill() })

	c.admin = &rest.Config{Host: "https://" + c.address, BearerToken: adminToken, QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAFile: c.path("certificates", "apiserver.crt")}}
	scheme := runtime.NewScheme()
	g := NewWithT(t)
	g.Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	var err error
	c.root, err = client.New(c.admin, client.Options{Scheme: scheme, FieldOwner: "kubectl"})
	g.Expect(err).NotTo(HaveOccurred())
	c.install(t)
	return c
}

// startAPIServer starts kube-apiserver, for the first time or again, and waits until it is ready.
func (c *controlPlane) startAPIServer(t *testing.T) {
	t.Helper()
	host, port, err := net.SplitHostPort(c.address)
	if err != nil {
		t.Fatal(err)
	}
	key := c.path("service-accounts.key")
	cmd := exec.Command(asset("kube-apiserver"),
		"--etcd-servers="+c.etcd.url, "--bind-address="+host, "--secure-port="+port, "--cert-dir="+c.path("certificates"),
		// The API server does not publish its own address, so it needs only the loopback address.
		"--advertise-address="+host, "--endpoint-reconciler-type=none",
		"--token-auth-file="+c.path("tokens.csv"), "--authorization-mode=RBAC",
		"--service-cluster-ip-range=10.0.0.0/24", "--service-account-issuer=https://faults.invalid",
		"--service-account-key-file="+key, "--service-account-signing-key-file="+key)
	c.apiServer, err = startProgram("kube-apiserver", c.path("kube-apiserver.log"), cmd)
	if err != nil {
		t.Fatal(err)
	}
	awaitProgram(t, c.apiServer, 2*time.Minute, c.ready)
}

// restartAPIServer kills the API server, calls down, and starts the API server after down has
// returned.
func (c *controlPlane) restartAPIServer(t *testing.T, down func()) {
	t.Helper()
	c.apiServer.kill()
	down()
	c.startAPIServer(t)
}

// ready returns an error while the API server is not ready.
func (c *controlPlane) ready(ctx context.Context) error {
	transport, err := rest.TransportFor(&rest.Config{Host: "https://" + c.address, BearerToken: adminToken,
		TLSClientConfig: rest.TLSClientConfig{CAFile: c.path("certificates", "apiserver.crt")}})
	if err != nil {
		return err // for example, while the certificate does not exist yet
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+c.address+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	httpClient := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	response, err := httpClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s", response.Status)
	}
	return nil
}

func (c *controlPlane) path(parts ...string) string {
	return filepath.Join(append([]string{c.directory}, parts...)...)
}

func (c *controlPlane) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(c.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeKey writes the key that signs the tokens of service accounts. The API server keeps it
// across restarts, so these tokens stay valid.
func (c *controlPlane) writeKey(t *testing.T, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, name, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})))
}

// asset is the path of a program of the control plane.
func asset(name string) string { return filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), name) }
