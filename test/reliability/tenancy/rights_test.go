//go:build reliability

package tenancy_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// install gives the operator and the users of the cluster the rights of config/default, from its
// files.
func install() {
	GinkgoHelper()
	ctx := context.Background()
	Expect(plane.Install(ctx, nil, "rbac", "user-roles")).To(Succeed())
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
	Expect(plane.CreateNamespaces(context.Background(), name)).To(Succeed())
}

// actingAs returns a configuration that impersonates a user.
func actingAs(user string, groups ...string) *rest.Config {
	config := rest.CopyConfig(plane.Admin)
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
	Expect(plane.AwaitRights(ctx, name,
		harness.Right{Verb: "create", Group: v1alpha1.GroupVersion.Group, Resource: "pipestokens", Namespace: namespace})).To(Succeed())
	user, err := client.New(actingAs(name), client.Options{Scheme: harness.Scheme, Mapper: root.RESTMapper(), FieldOwner: "kubectl"})
	Expect(err).NotTo(HaveOccurred())
	return client.WithFieldValidation(user, metav1.FieldValidationStrict)
}
