package controllers_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// setGrants replaces the grants of the PipesEnvironment. The caller must wait for the environment
// before it creates a PipesToken.
func (w *world) setGrants(grants ...v1alpha1.Grant) {
	GinkgoHelper()
	environment := w.environment()
	w.edit(environment, func() { environment.Spec.Grants = grants })
}

// grant allows the tenant everything, with changes.
func (w *world) grant(change ...func(*v1alpha1.Grant)) v1alpha1.Grant {
	grant := anythingFor(v1alpha1.GrantNamespaces{Names: []string{w.tenant}})
	for _, c := range change {
		c(&grant)
	}
	return grant
}

var _ = Describe("Grants", func() {
	var w *world
	BeforeEach(func() { w = running() })

	setGrants := func(grants ...v1alpha1.Grant) { w.setGrants(grants...) }
	tenant := func(change ...func(*v1alpha1.Grant)) v1alpha1.Grant { return w.grant(change...) }

	It("take effect within a second, and take the token away when they are withdrawn", func() {
		setGrants()
		w.waitForEnvironment(v1alpha1.AvailableReason)
		token := w.token("alice")
		w.connect(token)
		w.settled(token, v1alpha1.NotGrantedReason)
		Expect(conditionsOf(token)).To(ConsistOf("Ready=False/NotGranted", "Stalled=True/NotGranted"))
		Expect(kstatusOf(token)).To(Equal(status.FailedStatus))
		Expect(w.upstream.Requests()).To(BeEmpty())

		// The machine may be busy, so the best of three attempts counts.
		best := time.Hour
		for range 3 {
			w.timeline.advance(workos.MinInterval)
			granted := time.Now()
			setGrants(tenant())
			w.waitForReason(token, v1alpha1.TokenSyncedReason)
			best = min(best, time.Since(granted))

			setGrants(tenant(func(g *v1alpha1.Grant) { g.Slugs = []string{"slack"} }))
			w.waitForReason(token, v1alpha1.NotGrantedReason)
			Expect(w.secret(token).Data).To(BeEmpty())
		}
		Expect(best).To(BeNumerically("<", time.Second))

		w.timeline.advance(workos.MinInterval)
		setGrants(tenant(func(g *v1alpha1.Grant) { g.UserIDs = []string{"alice"} }))
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(w.tokenIn(token)).To(Equal(w.held(token)))
	})

	It("take the token away from a suspended PipesToken too", func() {
		token := w.synced("alice")
		w.edit(token, func() { token.Spec.Suspend = true })
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		setGrants()
		w.waitForReason(token, v1alpha1.NotGrantedReason)
		Expect(w.secret(token).Data).To(BeEmpty())
	})

	It("by label follow the labels of the namespace", func() {
		setGrants(anythingFor(v1alpha1.GrantNamespaces{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}}))
		w.waitForEnvironment(v1alpha1.AvailableReason)
		token := w.token("alice")
		w.connect(token)
		w.settled(token, v1alpha1.NotGrantedReason)
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.tenant}}
		w.edit(namespace, func() { namespace.Labels["team"] = "a" })
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		w.edit(namespace, func() { delete(namespace.Labels, "team") })
		w.waitForReason(token, v1alpha1.NotGrantedReason)
		Expect(w.secret(token).Data).To(BeEmpty())
	})

	DescribeTable("allow and deny",
		func(allowed bool, change func(*v1alpha1.Grant)) {
			setGrants(tenant(change))
			w.waitForEnvironment(v1alpha1.AvailableReason)
			token := w.token("alice")
			w.connect(token)
			if allowed {
				w.settled(token, v1alpha1.TokenSyncedReason)
				return
			}
			w.settled(token, v1alpha1.NotGrantedReason)
			Expect(w.upstream.Requests()).To(BeEmpty())
			Expect(w.secret(token)).To(BeNil())
		},
		Entry("anything", true, func(*v1alpha1.Grant) {}),
		Entry("every namespace", true, func(g *v1alpha1.Grant) { g.Namespaces.Names = []string{"*"} }),
		Entry("another namespace", false, func(g *v1alpha1.Grant) { g.Namespaces.Names = []string{"elsewhere"} }),
		Entry("the slug", true, func(g *v1alpha1.Grant) { g.Slugs = []string{"slack", "github"} }),
		Entry("another slug", false, func(g *v1alpha1.Grant) { g.Slugs = []string{"slack"} }),
		Entry("the organization", true, func(g *v1alpha1.Grant) { g.OrganizationIDs = []string{"org_1"} }),
		Entry("another organization", false, func(g *v1alpha1.Grant) { g.OrganizationIDs = []string{"org_2"} }),
		Entry("another user", false, func(g *v1alpha1.Grant) { g.UserIDs = []string{"bob"} }),
		Entry("the slug for another user", false, func(g *v1alpha1.Grant) { g.Slugs, g.UserIDs = []string{"github"}, []string{"bob"} }),
	)

	It("are not needed in the environment's own namespace", func() {
		setGrants()
		w.waitForEnvironment(v1alpha1.AvailableReason)
		token := w.token("alice")
		token.Namespace = w.home
		w.connect(token)
		w.settled(token, v1alpha1.TokenSyncedReason)
	})
})
