package harness

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// Install creates the namespace of the operator and the objects in folders of config/, "rbac" for
// the rights of the operator. It calls change for each object first. It returns when the API server
// applies the rights of the operator.
func (c *ControlPlane) Install(
	ctx context.Context, change func(*unstructured.Unstructured) error, folders ...string,
) error {
	if err := c.CreateNamespaces(ctx, Namespace); err != nil {
		return err
	}
	for _, name := range folders {
		objects, err := folder(name)
		if err != nil {
			return err
		}
		for _, object := range objects {
			if err := c.create(ctx, object, change); err != nil {
				return fmt.Errorf("installing %s %s: %w", object.GetKind(), object.GetName(), err)
			}
		}
	}
	return c.AwaitRights(ctx, User, OperatorRights...)
}

func (c *ControlPlane) create(
	ctx context.Context, object *unstructured.Unstructured, change func(*unstructured.Unstructured) error,
) error {
	if change != nil {
		if err := change(object); err != nil {
			return err
		}
	}
	return c.Root.Create(ctx, object)
}

// AllowAPIKeys lets the operator read the Secrets of a namespace, as its owner can.
func (c *ControlPlane) AllowAPIKeys(ctx context.Context, namespace string) error {
	if err := c.InstallFile(ctx, namespace, "rbac", "api_key_reader_role_binding.yaml"); err != nil {
		return err
	}
	return c.AwaitRights(ctx, User, Right{Verb: "get", Resource: "secrets", Namespace: namespace})
}

// InstallFile creates the objects of a file in config/. If namespace is not empty, it creates them
// there.
func (c *ControlPlane) InstallFile(ctx context.Context, namespace string, path ...string) error {
	objects, err := readFile(config(path...))
	if err != nil {
		return err
	}
	for _, object := range objects {
		if namespace != "" {
			object.SetNamespace(namespace)
		}
		if err := client.IgnoreAlreadyExists(c.Root.Create(ctx, object)); err != nil {
			return fmt.Errorf("installing %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

// CreateNamespaces creates namespaces.
func (c *ControlPlane) CreateNamespaces(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := c.Root.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return fmt.Errorf("creating a namespace: %w", err)
		}
	}
	return nil
}

// Right is something that a user may do.
type Right = authorizationv1.ResourceAttributes

// OperatorRights are the rights that the operator cannot start without.
var OperatorRights = []Right{
	{Verb: "watch", Group: v1alpha1.GroupVersion.Group, Resource: "pipestokens"},
	{Verb: "get", Resource: "secrets", Namespace: Namespace},
	{Verb: "create", Group: "coordination.k8s.io", Resource: "leases", Namespace: Namespace},
}

// AwaitRights waits until the API server applies rights of a user, which takes it a moment.
func (c *ControlPlane) AwaitRights(ctx context.Context, user string, rights ...Right) error {
	for _, right := range rights {
		allowed := func(ctx context.Context) (bool, error) {
			review := &authorizationv1.SubjectAccessReview{
				Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &right},
			}
			err := c.Root.Create(ctx, review)
			return review.Status.Allowed, err
		}
		if err := wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, time.Minute, true, allowed); err != nil {
			return fmt.Errorf("waiting until %s may %s %s: %w", user, right.Verb, right.Resource, err)
		}
	}
	return nil
}

// OperatorToken returns a token of the operator's service account, as the kubelet mounts it into
// the pod.
func (c *ControlPlane) OperatorToken(ctx context.Context) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: ServiceAccount}}
	token := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](24 * 3600)},
	}
	err := c.Root.SubResource("token").Create(ctx, account, token)
	return token.Status.Token, err
}

// WriteOperatorKubeconfig writes a kubeconfig with a token of the operator's service account.
func (c *ControlPlane) WriteOperatorKubeconfig(ctx context.Context, path string) error {
	token, err := c.OperatorToken(ctx)
	if err != nil {
		return fmt.Errorf("making a token for the operator: %w", err)
	}
	return WriteKubeconfig(path, c.Address(), c.Admin.CAData, token)
}

// WriteKubeconfig writes a kubeconfig with a bearer token for an API server at host:port.
func WriteKubeconfig(path, address string, authority []byte, token string) error {
	file := clientcmdapi.NewConfig()
	file.Clusters["tests"] = &clientcmdapi.Cluster{Server: "https://" + address, CertificateAuthorityData: authority}
	file.AuthInfos["operator"] = &clientcmdapi.AuthInfo{Token: token}
	file.Contexts["tests"] = &clientcmdapi.Context{Cluster: "tests", AuthInfo: "operator", Namespace: Namespace}
	file.CurrentContext = "tests"
	return clientcmd.WriteToFile(*file, path)
}
