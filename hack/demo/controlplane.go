package main

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
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/pipes-operator/pipes-operator/hack/process"
)

// controlPlane is etcd and a kube-apiserver, on loopback only. It has no node and no controller
// manager.
type controlPlane struct {
	address    string
	caFile     string
	adminToken string
}

// adminKubeconfig is the name of the user's kubeconfig in the workspace.
const adminKubeconfig = "kubeconfig"

// startControlPlane starts etcd and kube-apiserver and waits until both are ready.
func (d *demo) startControlPlane(ctx context.Context) error {
	d.plane.adminToken = rand.Text()
	if err := d.space.write("tokens.csv", d.plane.adminToken+",demo,demo,\"system:masters\"\n"); err != nil {
		return err
	}
	if err := d.space.writeKey("service-accounts.key"); err != nil {
		return err
	}
	var client string
	if _, err := d.startReady(func() (p *process.Process, err error) {
		p, client, err = d.startEtcd(ctx)
		return p, err
	}); err != nil {
		return err
	}
	_, err := d.startReady(func() (*process.Process, error) { return d.startAPIServer(ctx, client) })
	return err
}

// startEtcd starts etcd and waits until it listens on client, the address that it returns.
func (d *demo) startEtcd(ctx context.Context) (p *process.Process, client string, err error) {
	addresses, err := process.FreeAddresses(ctx, 2)
	if err != nil {
		return nil, "", err
	}
	client, peer := addresses[0], "http://"+addresses[1]
	// No data has to survive a crash here, so etcd does not sync to the disk.
	p, err = d.start("etcd", d.program("etcd"), nil,
		"--data-dir="+d.space.path("etcd", addresses[0]), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=http://"+client, "--advertise-client-urls=http://"+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer)
	if err != nil {
		return nil, "", err
	}
	p.Patience = 0 // etcd has no data to save
	return p, client, p.WaitUntil(ctx, time.Minute,
		func(ctx context.Context) error { return process.Listens(ctx, client) })
}

// startAPIServer starts kube-apiserver and waits until it is ready.
func (d *demo) startAPIServer(ctx context.Context, etcd string) (*process.Process, error) {
	addresses, err := process.FreeAddresses(ctx, 1)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addresses[0])
	if err != nil {
		return nil, fmt.Errorf("reading a free address: %w", err)
	}
	certificates := d.space.path("certificates")
	d.plane.address, d.plane.caFile = "https://"+addresses[0], filepath.Join(certificates, "apiserver.crt")
	key := d.space.path("service-accounts.key")
	p, err := d.start("kube-apiserver", d.program("kube-apiserver"), nil,
		"--etcd-servers=http://"+etcd, "--bind-address="+host, "--secure-port="+port, "--cert-dir="+certificates,
		// kube-apiserver does not publish its address, so a loopback address is enough.
		"--advertise-address="+host, "--endpoint-reconciler-type=none",
		"--token-auth-file="+d.space.path("tokens.csv"), "--authorization-mode=RBAC",
		"--service-cluster-ip-range=10.0.0.0/24", "--service-account-issuer=https://pipes-demo.invalid",
		"--service-account-key-file="+key, "--service-account-signing-key-file="+key)
	if err != nil {
		return nil, err
	}
	p.Patience = 0 // a graceful shutdown would wait for all watches to end
	return p, p.WaitUntil(ctx, 2*time.Minute, d.plane.ready)
}

// ready returns an error until the API server is ready.
func (c *controlPlane) ready(ctx context.Context) error {
	transport, err := rest.TransportFor(c.restConfig())
	if err != nil {
		return err // for example because the certificate does not exist yet
	}
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	return answersOK(ctx, client, c.address+"/readyz")
}

// restConfig returns the client configuration of the user, who has all rights.
func (c *controlPlane) restConfig() *rest.Config {
	return &rest.Config{
		Host: c.address, BearerToken: c.adminToken, TLSClientConfig: rest.TLSClientConfig{CAFile: c.caFile},
		QPS: -1, // no client limit: the API server has its own
	}
}

// writeKubeconfig writes a kubeconfig into the workspace.
func (d *demo) writeKubeconfig(name, user, token string) error {
	ca, err := os.ReadFile(d.plane.caFile)
	if err != nil {
		return fmt.Errorf("reading the certificate of kube-apiserver: %w", err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["demo"] = &clientcmdapi.Cluster{Server: d.plane.address, CertificateAuthorityData: ca}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["demo"] = &clientcmdapi.Context{Cluster: "demo", AuthInfo: user, Namespace: namespace}
	config.CurrentContext = "demo"
	if err := clientcmd.WriteToFile(*config, d.space.path(name)); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// writeKey writes the key with which the API server signs the tokens of ServiceAccounts.
func (w workspace) writeKey(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making %s: %w", name, err)
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("making %s: %w", name, err)
	}
	return w.write(name, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})))
}

// kubectl runs kubectl as the user and returns its output.
func (d *demo) kubectl(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, process.ErrTooLate)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.program("kubectl"), args...)
	cmd.SysProcAttr = process.Attributes()
	cmd.Env = append(os.Environ(), d.userEnvironment()...)
	output, err := cmd.CombinedOutput()
	switch {
	case context.Cause(ctx) != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return "", fmt.Errorf("%w: %s", err, output)
	default:
		return string(output), nil
	}
}

// userEnvironment returns the environment that kubectl needs to reach the API server. kubectl
// caches only in the workspace, and it ignores the preferences of the user who runs the demo.
func (d *demo) userEnvironment() []string {
	return []string{
		"KUBECONFIG=" + d.space.path(adminKubeconfig),
		"KUBECACHEDIR=" + d.space.path("kubectl-cache"),
		"KUBERC=off",
	}
}

// answersOK returns an error unless a GET request is answered with 200.
func answersOK(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}
