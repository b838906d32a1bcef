//go:build reliability

package tenancy_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// withdraw removes the tenant's grant. It does not wait for the operator.
func (w *world) withdraw() {
	GinkgoHelper()
	environment := &v1alpha1.PipesEnvironment{ObjectMeta: metav1.ObjectMeta{Namespace: harness.Namespace, Name: w.environment}}
	Expect(w.edit(root, environment, func() { environment.Spec.Grants = nil })).To(Succeed())
}

var _ = DescribeTable("Keeping a token whose grant is gone", func(spec string, change func(*corev1.Secret), left func(*corev1.Secret)) {
	w := newWorld(one)
	token := w.synced("mine", spec)
	if change != nil {
		w.editSecret("mine", token, change)
	}
	mark := network.mark()
	w.withdraw()
	w.expectReady(token, v1alpha1.NotGrantedReason, `its owner can add one to spec.grants`)
	queues.Settle()
	left(w.secretOf("mine"))
	Expect(network.since(mark)).To(BeEmpty())
},
	attack("T16", "by nothing", `{}`, nil, isEmpty),
	attack("T16", "by a Secret that cannot be changed", `{}`, func(s *corev1.Secret) { s.Immutable = ptr.To(true) }, isGone),
	attack("T16", "by a Secret that cannot be changed, to be deleted", `{inactivePolicy: Delete}`, func(s *corev1.Secret) { s.Immutable = ptr.To(true) }, isGone),
	attack("T16", "by a finalizer", `{}`, finalizer, isEmpty),
	attack("T16", "by a further owner", `{}`, furtherOwner, isEmpty),
	attack("T16", "by a further owner, to be deleted", `{inactivePolicy: Delete}`, furtherOwner, isGone),
	attack("T16", "by taking the label away", `{}`, func(s *corev1.Secret) { delete(s.Labels, v1alpha1.ManagedByLabel) }, isEmpty),
	attack("T16", "by taking the label away, to be deleted", `{inactivePolicy: Delete}`, func(s *corev1.Secret) { delete(s.Labels, v1alpha1.ManagedByLabel) }, isGone),
	attack("T16", "by another key", `{}`, func(s *corev1.Secret) { s.Data["copy"] = s.Data["access_token"] }, isEmpty),
	attack("T16", "by taking the facts away", `{}`, func(s *corev1.Secret) { s.Annotations = nil }, isEmpty),
)

var _ = DescribeTable("Keeping a token by suspension, once its grant is gone", func(change func(*corev1.Secret)) {
	w := newWorld(one)
	token := w.synced("mine", `{}`)
	w.afterPass(token, func() { Expect(w.edit(w.editor, token, func() { setSpec(token, "suspend", true) })).To(Succeed()) })
	w.editSecret("mine", token, change)
	w.withdraw()
	w.expectReady(token, v1alpha1.NotGrantedReason, "")
	queues.Settle()
	isEmpty(w.secretOf("mine"))
},
	attack("T16", "and a further owner", furtherOwner),
	attack("T16", "and taking the label away, so that the Secret is out of sight", func(s *corev1.Secret) { delete(s.Labels, v1alpha1.ManagedByLabel) }),
	attack("T16", "and another key", func(s *corev1.Secret) { s.Data["copy"] = s.Data["access_token"] }),
)

var _ = It("T16: a Secret that the PipesToken no longer controls is not touched, and that is told", Label("T16"), func() {
	w := newWorld(one)
	token := w.synced("mine", `{}`)
	w.editSecret("mine", token, func(s *corev1.Secret) { s.OwnerReferences[0].UID = "00000000-0000-0000-0000-000000000000" })
	w.expectReady(token, v1alpha1.SecretConflictReason, `Secret "mine" exists and belongs to somebody else`)
	before := w.takeStock()
	w.withdraw()
	w.expectReady(token, v1alpha1.NotGrantedReason, "")
	queues.Settle()
	Expect(w.takeStock().objects).To(HaveKeyWithValue("SecretList "+w.namespace+"/mine", before.objects["SecretList "+w.namespace+"/mine"]))
})

func finalizer(s *corev1.Secret) { s.Finalizers = []string{"example.com/hold"} }

func furtherOwner(s *corev1.Secret) {
	s.OwnerReferences = append(s.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "x"})
}

func isEmpty(secret *corev1.Secret) {
	GinkgoHelper()
	Expect(secret).NotTo(BeNil())
	Expect(secret.Data).To(BeEmpty())
}

func isGone(secret *corev1.Secret) {
	GinkgoHelper()
	Expect(secret).To(BeNil())
}

// Attack: a deleted Secret stays, with its data, as long as any finalizer is on it. The operator
// must remove the token first, or tell the administrator that the token is still in the Secret.
var _ = DescribeTable("Keeping a token in a Secret that waits for its deletion", func(spec string, change func(*corev1.Secret)) {
	w := newWorld(one)
	token := w.synced("mine", spec)
	w.editSecret("mine", token, change)
	w.withdraw()
	w.expectReady(token, v1alpha1.NotGrantedReason, "")
	Eventually(func(g Gomega) {
		// While the operator cannot remove the token, its reconciles fail, so queues.Settle would
		// not return.
		if secret := w.secretOf("mine"); secret != nil && len(secret.Data) > 0 {
			g.Expect(readyOf(w.reload(token))["message"]).To(ContainSubstring("The token is still in the Secret"))
		}
	}, soon, often).Should(Succeed())
	w.editSecret("mine", nil, func(s *corev1.Secret) { s.Finalizers = nil })
	Eventually(func() *corev1.Secret { return w.secretOf("mine") }, soon, often).Should(BeNil())
},
	attack("T16", "by a finalizer, to be deleted", `{inactivePolicy: Delete}`, finalizer),
	attack("T16", "by a finalizer, and a Secret that cannot be changed", `{}`, func(s *corev1.Secret) { finalizer(s); s.Immutable = ptr.To(true) }),
)
