//go:build reliability

package tenancy_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// as returns the client of a user with a built-in role in the tenant's namespace.
func (w *world) as(role string) client.Client {
	if role == "admin" {
		return w.admin
	}
	return w.editor
}

// reach is an attempt of a tenant to access objects that do not belong to them.
type reach func(w *world, attacker client.Client) error

func creates(object func(w *world) client.Object) reach {
	return func(w *world, attacker client.Client) error { return attacker.Create(w.ctx, object(w)) }
}

func reads(namespace, name string) reach {
	return func(w *world, attacker client.Client) error {
		return attacker.Get(w.ctx, client.ObjectKey{Namespace: namespace, Name: name}, &corev1.Secret{})
	}
}

var _ = DescribeTable("Reaching beyond the own namespace", func(role string, attempt reach, says string) {
	common.refused(byAPIServer(says), func() (client.Object, error) { return nil, attempt(common, common.as(role)) })
},
	attack("T4", "by a PipesToken in a namespace that has a grant", "admin", creates(func(w *world) client.Object {
		token := w.pipesToken("theirs", `{userID: user_victim, environmentRef: null}`)
		token.SetNamespace(neighbour)
		return token
	}), `cannot create resource "pipestokens"`),
	attack("T4", "by a PipesToken where no grant is needed", "admin", creates(func(w *world) client.Object {
		token := w.pipesToken("theirs", `{environmentRef: null}`)
		token.SetNamespace(harness.Namespace)
		return token
	}), `cannot create resource "pipestokens"`),
	attack("T4", "by a PipesEnvironment beside the API key", "admin", creates(func(*world) client.Object {
		return newEnvironment(harness.Namespace, "mine", `{grants: [{namespaces: {names: ["*"]}, `+anything+`}]}`)
	}), `cannot create resource "pipesenvironments"`),
	attack("T4", "by a PipesEnvironment with the rights of edit", "edit", creates(func(w *world) client.Object {
		return newEnvironment(w.namespace, "mine", `{}`)
	}), `cannot create resource "pipesenvironments"`),
	attack("T4", "by a grant", "admin", reach(func(w *world, attacker client.Client) error {
		environment := &v1alpha1.PipesEnvironment{ObjectMeta: metav1.ObjectMeta{Namespace: harness.Namespace, Name: "default"}}
		return w.edit(attacker, environment, func() { environment.Spec.Grants[0].Namespaces.Names = []string{"*"} })
	}), `cannot patch resource "pipesenvironments"`),
	attack("T4", "for the API key", "admin", reads(harness.Namespace, "workos-api-key"), `cannot get resource "secrets"`),
	attack("T4", "for the victim's token", "admin", reads(neighbour, victim), `cannot get resource "secrets"`),
	attack("T4", "for a token of the operator's account", "admin", reach(func(w *world, attacker client.Client) error {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: harness.Namespace, Name: harness.ServiceAccount}}
		return attacker.SubResource("token").Create(w.ctx, account, &authenticationv1.TokenRequest{})
	}), `cannot create resource "serviceaccounts/token"`),
	attack("T4", "for the operator's role, in the own namespace", "admin", creates(func(w *world) client.Object {
		return &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "mine", Namespace: w.namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: harness.ServiceAccount},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "admin-of-" + w.namespace}},
		}
	}), `attempting to grant RBAC permissions not currently held`),
)

var _ = It("T4: deleting a PipesToken ends nothing at WorkOS", Label("T4"), func() {
	w := newWorld(one)
	token := w.synced("mine", `{}`)
	before := network.mark()
	w.afterPass(token, func() { Expect(w.editor.Delete(w.ctx, token)).To(Succeed()) })
	Expect(network.since(before)).To(BeEmpty())
})
