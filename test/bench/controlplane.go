package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// The names of the operator's objects in config/default.
const (
	operatorNamespace = "pipes-system"
	operatorAccount   = "pipes-operator-manager"
)

// plane is an etcd and a kube-apiserver with config/default installed. It has no node and no
// controller manager.
type plane struct {
	environment *envtest.Environment
	assets      string
	directory   string
	// admin, http and root are clients with the rights of the cluster administrator.
	admin *rest.Config
	http  *http.Client
	root  client.WithWatch
}

// planeSettings describes for the report how this control plane differs from a usual cluster.
const planeSettings = "etcd does not sync its writes to the disk (--unsafe-no-fsync), and may store 8 GiB; " +
	"kube-apiserver takes 4000 reads and 2000 writes at once; everything runs on one machine, and shares its cores"

// startPlane starts etcd and kube-apiserver, and installs config/default.
func startPlane(ctx context.Context, assets, directory string) (*plane, error) {
	p := &plane{assets: assets, directory: directory, environment: &envtest.Environment{
		BinaryAssetsDirectory: assets, ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute,
	}}
	p.environment.ControlPlane.Etcd = &envtest.Etcd{DataDir: filepath.Join(directory, "etcd")}
	p.environment.ControlPlane.Etcd.Configure().Set("unsafe-no-fsync", "true").Set("quota-backend-bytes", "8589934592")
	p.environment.ControlPlane.GetAPIServer().Configure().
		Set("max-requests-inflight", "4000").Set("max-mutating-requests-inflight", "2000")
	if err := os.MkdirAll(p.environment.ControlPlane.Etcd.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("making a directory for etcd: %w", err)
	}
	config, err := p.environment.Start()
	if err == nil {
		err = p.connect(config)
	}
	if err == nil {
		err = p.install(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting a control plane: %w", err), p.stop())
	}
	return p, nil
}

func (p *plane) stop() error {
	if err := p.environment.Stop(); err != nil {
		return fmt.Errorf("stopping the control plane: %w", err)
	}
	return os.RemoveAll(p.directory)
}

func (p *plane) connect(config *rest.Config) (err error) {
	p.admin = rest.CopyConfig(config)
	p.admin.QPS = -1 // no client limit: the API server has its own
	if p.http, err = rest.HTTPClientFor(p.admin); err != nil {
		return err
	}
	p.root, err = client.NewWithWatch(p.admin, client.Options{Scheme: newScheme(), HTTPClient: p.http})
	return err
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// install installs config/default as a user does, and waits for the CRDs.
func (p *plane) install(ctx context.Context) error {
	if err := os.WriteFile(p.adminKubeconfig(), p.environment.KubeConfig, 0o600); err != nil {
		return fmt.Errorf("writing a kubeconfig: %w", err)
	}
	if err := p.kubectl(ctx, "apply", "-k", filepath.Join("config", "default")); err != nil {
		return err
	}
	if err := p.kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s",
		"crd/pipestokens.pipes.workos.com", "crd/pipesenvironments.pipes.workos.com"); err != nil {
		return err
	}
	return p.giveRights(ctx)
}

// kubectl runs kubectl as the administrator. Its cache is in the directory of the control plane.
func (p *plane) kubectl(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(p.assets, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.adminKubeconfig(),
		"KUBECACHEDIR="+filepath.Join(p.directory, "kubectl"), "KUBERC=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", args[0], err, output)
	}
	return nil
}

// giveRights writes a kubeconfig with a token of the operator's ServiceAccount.
func (p *plane) giveRights(ctx context.Context) error {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: operatorAccount}}
	token := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](24 * 3600)},
	}
	if err := p.root.SubResource("token").Create(ctx, account, token); err != nil {
		return fmt.Errorf("making a token for the operator: %w", err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["bench"] = &clientcmdapi.Cluster{Server: p.admin.Host, CertificateAuthorityData: p.admin.CAData}
	config.AuthInfos["operator"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["bench"] = &clientcmdapi.Context{Cluster: "bench", AuthInfo: "operator", Namespace: operatorNamespace}
	config.CurrentContext = "bench"
	if err := clientcmd.WriteToFile(*config, p.operatorKubeconfig()); err != nil {
		return fmt.Errorf("writing the operator's kubeconfig: %w", err)
	}
	return nil
}

// allowed reports a right of the operator that is still missing. The API server takes a moment
// to apply new RBAC rules.
func (p *plane) allowed(ctx context.Context) (missing string, err error) {
	for _, right := range []authorizationv1.ResourceAttributes{
		{Verb: "watch", Group: v1alpha1.GroupVersion.Group, Resource: "pipestokens"},
		{Verb: "get", Resource: "secrets", Namespace: operatorNamespace},
		{Verb: "create", Group: "coordination.k8s.io", Resource: "leases", Namespace: operatorNamespace},
	} {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "system:serviceaccount:" + operatorNamespace + ":" + operatorAccount, ResourceAttributes: &right,
		}}
		if err := p.root.Create(ctx, review); err != nil {
			return "", fmt.Errorf("asking for the operator's rights: %w", err)
		}
		if !review.Status.Allowed {
			return fmt.Sprintf("it may not %s %s", right.Verb, right.Resource), nil
		}
	}
	return "", nil
}

func (p *plane) adminKubeconfig() string    { return filepath.Join(p.directory, "admin.kubeconfig") }
func (p *plane) operatorKubeconfig() string { return filepath.Join(p.directory, "operator.kubeconfig") }
