// Package harness starts what the tests run against: a control plane without nodes, with the CRDs
// and the roles of config/, and operators.
package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/hack/process"
)

// Scheme has the types of Kubernetes and of this project.
var Scheme = func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}()

// Options say how a control plane differs from the usual one of envtest.
type Options struct {
	// Directory is for the data, the certificates and the logs of the programs. The caller removes
	// it. If it is empty, data and certificates are in temporary directories.
	Directory string
	// APIServer and Etcd are flags, by name.
	APIServer, Etcd map[string]string
	// WithoutCRDs leaves the installation of the CRDs to the caller.
	WithoutCRDs bool
	// Abrupt kills the programs at their end, instead of asking them to end.
	Abrupt bool
}

// ControlPlane is an etcd and a kube-apiserver on loopback.
type ControlPlane struct {
	// Admin is the configuration of the cluster administrator, without a rate limit.
	Admin *rest.Config
	// Root is the client of the cluster administrator, without a cache.
	Root client.WithWatch

	environment *envtest.Environment
	abrupt      bool
	logs        []*os.File
}

// Start starts a control plane. The caller must stop it.
func Start(o Options) (_ *ControlPlane, err error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("no control plane to test against: run `make test`, " +
			"or set KUBEBUILDER_ASSETS to the directory that `make controlplane` prints")
	}
	c := &ControlPlane{abrupt: o.Abrupt, environment: &envtest.Environment{
		ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute,
	}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("starting a control plane: %w", err), c.Stop())
		}
	}()
	if err := c.configure(o); err != nil {
		return nil, err
	}
	admin, err := c.environment.Start()
	if err != nil {
		return nil, err
	}
	c.Admin = rest.CopyConfig(admin)
	c.Admin.QPS = -1
	c.Root, err = client.NewWithWatch(c.Admin, client.Options{Scheme: Scheme, FieldOwner: "kubectl"})
	return c, err
}

func (c *ControlPlane) configure(o Options) error {
	if !o.WithoutCRDs {
		c.environment.CRDDirectoryPaths, c.environment.ErrorIfCRDPathMissing = []string{config("crd", "bases")}, true
	}
	if o.Abrupt {
		c.environment.ControlPlaneStopTimeout = time.Nanosecond // and then they are killed
	}
	server, etcd := c.environment.ControlPlane.GetAPIServer(), &envtest.Etcd{}
	c.environment.ControlPlane.Etcd = etcd
	for name, value := range o.APIServer {
		server.Configure().Set(name, value)
	}
	for name, value := range o.Etcd {
		etcd.Configure().Set(name, value)
	}
	if o.Directory == "" {
		return nil
	}
	server.CertDir, etcd.DataDir = filepath.Join(o.Directory, "certificates"), filepath.Join(o.Directory, "etcd")
	for _, directory := range []string{server.CertDir, etcd.DataDir} {
		if err := os.MkdirAll(directory, 0o700); err != nil {
			return err
		}
	}
	for _, name := range []string{"kube-apiserver.log", "etcd.log"} {
		log, err := os.OpenFile(filepath.Join(o.Directory, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		c.logs = append(c.logs, log)
	}
	server.Out, server.Err, etcd.Out, etcd.Err = c.logs[0], c.logs[0], c.logs[1], c.logs[1]
	return nil
}

// Stop ends the programs, and removes the temporary directories.
func (c *ControlPlane) Stop() error {
	err := c.environment.Stop()
	if etcd := c.environment.ControlPlane.Etcd; c.abrupt && etcd != nil && etcd.URL != nil {
		awaitEnd(context.Background(), c.Address())
		awaitEnd(context.Background(), etcd.URL.Host)
	}
	for _, log := range c.logs {
		_ = log.Close()
	}
	if err != nil && !c.abrupt { // a program that is killed has not ended in time
		return fmt.Errorf("stopping the control plane: %w", err)
	}
	return nil
}

// RestartAPIServer ends the API server, calls down, and starts the API server again, with the same
// address, certificates and stored objects. It needs Options.Directory, which keeps the
// certificates.
func (c *ControlPlane) RestartAPIServer(ctx context.Context, down func()) error {
	server := c.environment.ControlPlane.GetAPIServer()
	if err := server.Stop(); err != nil && !c.abrupt {
		return err
	}
	awaitEnd(ctx, c.Address())
	down()
	return server.Start()
}

// awaitEnd waits until a program that has been killed has ended.
func awaitEnd(ctx context.Context, address string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for process.Listens(ctx, address) == nil {
		<-tick.C
	}
}

// Address is the host:port of the API server.
func (c *ControlPlane) Address() string {
	return c.environment.ControlPlane.GetAPIServer().SecureServing.URL("https", "").Host
}

// EtcdURL is the address of etcd, which needs no credentials.
func (c *ControlPlane) EtcdURL() string { return c.environment.ControlPlane.Etcd.URL.String() }
