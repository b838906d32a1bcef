//go:build reliability

package faults_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// As config/default names things.
const (
	systemNamespace = "pipes-system"
	namePrefix      = "pipes-operator-"
	serviceAccount  = namePrefix + "manager"
	operatorUser    = "system:serviceaccount:" + systemNamespace + ":" + serviceAccount
)

// install installs the CRDs, and gives the operator the rights that config/default gives it, from its own files.
func (c *controlPlane) install(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	_, err := envtest.InstallCRDs(c.admin, envtest.CRDInstallOptions{Paths: []string{inConfig("crd", "bases")}, ErrorIfPathMissing: true})
	g.Expect(err).NotTo(HaveOccurred())
	c.createNamespace(t, systemNamespace)
	files, err := filepath.Glob(inConfig("rbac", "*.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(files).NotTo(BeEmpty())
	for _, file := range files {
		for _, object := range shipped(t, file) {
			g.Expect(c.root.Create(context.Background(), object)).To(Succeed(), file)
		}
	}
	c.waitUntilAllowed(t, "get", systemNamespace, "", "secrets")
	c.waitUntilAllowed(t, "update", systemNamespace, "coordination.k8s.io", "leases")
	c.waitUntilAllowed(t, "watch", "", v1alpha1Group, "pipestokens")
}

// inConfig is a path in config/.
func inConfig(path ...string) string {
	return filepath.Join(append([]string{"..", "..", "..", "config"}, path...)...)
}

// shipped are the objects of a file of config/rbac, with the names and the namespace that config/default gives them.
func shipped(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("reading %s: %v", file, err)
		}
		if object.GetKind() != "Kustomization" {
			objects = append(objects, named(object))
		}
	}
}

func named(object *unstructured.Unstructured) *unstructured.Unstructured {
	object.SetName(namePrefix + object.GetName())
	if object.GetNamespace() != "" {
		object.SetNamespace(systemNamespace)
	}
	if role, ok := object.Object["roleRef"].(map[string]any); ok {
		role["name"] = namePrefix + role["name"].(string)
	}
	if subjects, ok := object.Object["subjects"].([]any); ok {
		for _, subject := range subjects {
			subject := subject.(map[string]any)
			subject["name"], subject["namespace"] = namePrefix+subject["name"].(string), systemNamespace
		}
	}
	return object
}

// waitUntilAllowed waits until the API server has learned of a right of the operator's.
func (c *controlPlane) waitUntilAllowed(t *testing.T, verb, namespace, group, resource string) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               operatorUser,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: group, Resource: resource},
		}}
		g.Expect(c.root.Create(context.Background(), review)).To(Succeed())
		g.Expect(review.Status.Allowed).To(BeTrue())
	}, 20*time.Second, 20*time.Millisecond).Should(Succeed())
}

// operatorToken is a token of the operator's service account, such as the kubelet mounts into its pod.
func (c *controlPlane) operatorToken(t *testing.T) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: serviceAccount}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](3 * 3600)}}
	NewWithT(t).Expect(c.root.SubResource("token").Create(context.Background(), account, request)).To(Succeed())
	return request.Status.Token
}

func (c *controlPlane) createNamespace(t *testing.T, name string) {
	t.Helper()
	NewWithT(t).Expect(c.root.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
}

// allowAPIKeys lets the operator read API keys in a namespace that is not its own, as the documentation tells its owner to.
func (c *controlPlane) allowAPIKeys(t *testing.T, namespace string) {
	t.Helper()
	for _, object := range shipped(t, inConfig("rbac", "api_key_reader_role_binding.yaml")) {
		object.SetNamespace(namespace)
		NewWithT(t).Expect(client.IgnoreAlreadyExists(c.root.Create(context.Background(), object))).To(Succeed())
	}
	c.waitUntilAllowed(t, "get", namespace, "", "secrets")
}
