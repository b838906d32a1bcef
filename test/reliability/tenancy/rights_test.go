//go:build reliability

package tenancy_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/test/reliability/shipped"
)

// install gives the operator and the users of the cluster the rights of config/default, from its
// files.
func install() {
	GinkgoHelper()
	ctx := context.Background()
	createNamespace(shipped.Namespace)
	for _, folder := range []string{"rbac", "user-roles"} {
		objects, err := shipped.Folder(folder)
		Expect(err).NotTo(HaveOccurred())
		for _, object := range objects {
			Expect(root.Create(ctx, object)).To(Succeed(), "%s %s", object.GetKind(), object.GetName())
		}
	}
	aggregate(ctx)
}

// aggregate merges roles into the built-in roles by their labels. In a cluster, the controller
// manager does this.
func aggregate(ctx context.Context) {
	GinkgoHelper()
	for _, name := range []string{"view", "edit", "admin"} { // each role is part of the next
		role := &rbacv1.ClusterRole{}
		Expect(root.Get(ctx, client.ObjectKey{Name: name}, role)).To(Succeed())
		for _, selector := range role.AggregationRule.ClusterRoleSelectors {
			parts := &rbacv1.ClusterRoleList{}
			Expect(root.List(ctx, parts, client.MatchingLabels(selector.MatchLabels))).To(Succeed())
			for _, part := range parts.Items {
				role.Rules = append(role.Rules, part.Rules...)
			}
		}
		Expect(role.Rules).NotTo(BeEmpty())
		Expect(root.Update(ctx, role)).To(Succeed())
	}
}

func createNamespace(name string) {
	GinkgoHelper()
	Expect(root.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
}

// actingAs returns a configuration that impersonates a user.
func actingAs(user string, groups ...string) *rest.Config {
	config := rest.CopyConfig(apiServer)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append(groups, "system:authenticated")}
	return config
}

// userWith returns a client of a user who is bound to a built-in role in one namespace, and has
// no other right.
func userWith(ctx context.Context, role, namespace string) client.Client {
	GinkgoHelper()
	name := role + "-of-" + namespace
	Expect(root.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	})).To(Succeed())
	waitUntilAllowed(ctx, name, namespace, "create", "pipes.workos.com", "pipestokens")
	user, err := client.New(actingAs(name), client.Options{Scheme: scheme, Mapper: root.RESTMapper(), FieldOwner: "kubectl"})
	Expect(err).NotTo(HaveOccurred())
	return client.WithFieldValidation(user, metav1.FieldValidationStrict)
}

// waitUntilAllowed waits until the API server applies a new right.
func waitUntilAllowed(ctx context.Context, user, namespace, verb, group, resource string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               user,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: group, Resource: resource},
		}}
		g.Expect(root.Create(ctx, review)).To(Succeed())
		g.Expect(review.Status.Allowed).To(BeTrue())
	}, soon, often).Should(Succeed())
}
