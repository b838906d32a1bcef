package controllers_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

var _ = Describe("status.environmentRef", func() {
	It("names the PipesEnvironment also if the spec names none", func() {
		w := running()
		inUse := &v1alpha1.EnvironmentReference{Namespace: w.home, Name: environmentID}
		Expect(w.reload(w.synced("alice")).Status.EnvironmentRef).To(Equal(inUse))

		named := w.token("bob")
		named.Spec.EnvironmentRef = &v1alpha1.EnvironmentReference{Namespace: w.home, Name: "missing"}
		w.settled(named, v1alpha1.EnvironmentNotFoundReason)
		Expect(named.Status.EnvironmentRef).To(Equal(named.Spec.EnvironmentRef))

		near := w.token("carol")
		near.Spec.EnvironmentRef = &v1alpha1.EnvironmentReference{Name: "near"}
		w.settled(near, v1alpha1.EnvironmentNotFoundReason)
		Expect(near.Status.EnvironmentRef).To(Equal(&v1alpha1.EnvironmentReference{Namespace: w.tenant, Name: "near"}))
	})

	It("is absent if there is none, and follows the default of the operator", func() {
		w := newWorld()
		w.start(withoutDefault)
		w.waitForEnvironment(v1alpha1.AvailableReason)
		token := w.token("alice")
		w.connect(token)
		w.create(token)
		w.waitForReason(token, v1alpha1.EnvironmentNotFoundReason)
		Expect(token.Status.EnvironmentRef).To(BeNil())
		w.restart()
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(token.Status.EnvironmentRef).To(Equal(&v1alpha1.EnvironmentReference{Namespace: w.home, Name: environmentID}))
	})
})
