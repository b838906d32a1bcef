//go:build reliability

package faults_test

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/pipes-operator/pipes-operator/test/reliability/shipped"
)

// install installs the CRDs, and gives the operator the rights of config/default, from its files.
func (c *controlPlane) install(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	_, err := envtest.InstallCRDs(c.admin, envtest.CRDInstallOptions{Paths: []string{shipped.Path("crd", "bases")}, ErrorIfPathMissing: true})
	g.Expect(err).NotTo(HaveOccurred())
	c.createNamespace(t, shipped.Namespace)
	objects, err := shipped.Folder("rbac")
	g.Expect(err).NotTo(HaveOccurred())
	for _, object := range objects {
		if object.GetKind() == "Role" {
			g.Expect(allowLeases(object)).To(Succeed())
		}
		g.Expect(c.root.Create(context.Background(), object)).To(Succeed(), "%s %s", object.GetKind(), object.GetName())
	}
	c.waitUntilAllowed(t, "get", shipped.Namespace, "", "secrets")
	c.waitUntilAllowed(t, "create", shipped.Namespace, "coordination.k8s.io", "leases")
	c.waitUntilAllowed(t, "watch", "", v1alpha1Group, "pipestokens")
}

// electionIDs are the names of the Leases of the replicas that elect a leader.
var electionIDs = []string{"zombie", "storm"}

// allowLeases adds these Leases to the Role, as a user of --leader-election-id must do.
func allowLeases(role *unstructured.Unstructured) error {
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

// waitUntilAllowed waits until the API server applies a right of the operator.
func (c *controlPlane) waitUntilAllowed(t *testing.T, verb, namespace, group, resource string) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               shipped.User,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: group, Resource: resource},
		}}
		g.Expect(c.root.Create(context.Background(), review)).To(Succeed())
		g.Expect(review.Status.Allowed).To(BeTrue())
	}, 20*time.Second, 20*time.Millisecond).Should(Succeed())
}

// operatorToken returns a token of the operator's service account, as the kubelet mounts it into
// the pod.
func (c *controlPlane) operatorToken(t *testing.T) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: shipped.Namespace, Name: shipped.ServiceAccount}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](3 * 3600)}}
	NewWithT(t).Expect(c.root.SubResource("token").Create(context.Background(), account, request)).To(Succeed())
	return request.Status.Token
}

func (c *controlPlane) createNamespace(t *testing.T, name string) {
	t.Helper()
	NewWithT(t).Expect(c.root.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
}

// allowAPIKeys lets the operator read API keys in another namespace, as the documentation
// describes for its owner.
func (c *controlPlane) allowAPIKeys(t *testing.T, namespace string) {
	t.Helper()
	g := NewWithT(t)
	objects, err := shipped.File(shipped.Path("rbac", "api_key_reader_role_binding.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	for _, object := range objects {
		object.SetNamespace(namespace)
		g.Expect(client.IgnoreAlreadyExists(c.root.Create(context.Background(), object))).To(Succeed())
	}
	c.waitUntilAllowed(t, "get", namespace, "", "secrets")
}
