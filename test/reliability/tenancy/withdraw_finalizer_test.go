//go:build reliability

package tenancy_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

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
