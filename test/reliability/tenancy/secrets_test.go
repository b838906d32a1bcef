//go:build reliability

package tenancy_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secretOf returns the Secret of that name in the tenant's namespace, or nil if it does not
// exist.
func (w *world) secretOf(name string) *corev1.Secret {
	GinkgoHelper()
	secret := &corev1.Secret{}
	err := root.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, secret)
	if client.IgnoreNotFound(err) == nil && err != nil {
		return nil
	}
	Expect(err).NotTo(HaveOccurred())
	return secret
}

// editSecret changes a Secret as the tenant, and waits until the operator has reconciled the
// PipesToken. If token is nil, it does not wait.
func (w *world) editSecret(name string, token client.Object, change func(*corev1.Secret)) {
	GinkgoHelper()
	secret := newSecret(w.namespace, name, nil)
	edit := func() { Expect(w.edit(w.editor, secret, func() { change(secret) })).To(Succeed()) }
	if token == nil {
		edit()
		return
	}
	w.afterPass(token, edit)
}
