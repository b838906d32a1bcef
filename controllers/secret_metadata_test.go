package controllers_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/controllers/pipestoken"
)

var _ = Describe("A label that another controller acts on", func() {
	const key = "argocd.argoproj.io/secret-type"
	labelled := func(token *v1alpha1.PipesToken) {
		token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Labels: map[string]v1alpha1.LabelValue{key: "cluster"}}
	}

	It("is not written to a new Secret, and the condition names the key and the flag", func() {
		w := running()
		token := w.token("alice")
		labelled(token)
		w.connect(token)
		w.settled(token, v1alpha1.InvalidTemplateReason)
		Expect(w.secret(token)).To(BeNil())
		Expect(w.upstream.Requests()).To(BeEmpty())
		ready := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ReadyCondition)
		Expect(ready.Message).To(And(
			ContainSubstring(`secretTemplate.labels["argocd.argoproj.io/secret-type"]: Argo CD acts on Secrets with such a key`),
			ContainSubstring("--allowed-secret-metadata=argocd.argoproj.io")))
		Expect(conditionsOf(token)).To(ContainElement("Stalled=True/InvalidTemplate"))

		w.edit(token, func() { token.Spec.SecretTemplate = nil })
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(w.secret(token).Labels).NotTo(HaveKey(key))
	})

	It("is not written when the token is taken away either", func() {
		w := running()
		token := w.synced("alice")
		w.edit(token, func() { labelled(token) })
		w.waitForReason(token, v1alpha1.InvalidTemplateReason)
		Expect(w.tokenIn(token)).NotTo(BeEmpty())

		environment := w.environment()
		w.edit(environment, func() { environment.Spec.Grants = nil })
		w.waitForReason(token, v1alpha1.NotGrantedReason)
		Expect(w.secret(token).Data).To(BeEmpty())
		Expect(w.secret(token).Labels).NotTo(HaveKey(key))
	})

	It("is written once the operator is started with its domain", func() {
		w := newWorld()
		w.start(func(r *pipestoken.Reconciler) { r.AllowedSecretMetadata = []string{"argoproj.io"} })
		w.waitForEnvironment(v1alpha1.AvailableReason)
		token := w.token("alice")
		labelled(token)
		w.connect(token)
		w.settled(token, v1alpha1.TokenSyncedReason)
		Expect(w.secret(token).Labels).To(HaveKeyWithValue(key, "cluster"))
	})
})
