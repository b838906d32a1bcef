package controllers_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/controllers/pipestoken"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// Labels with the IDs of a namespace.
const userLabel, organizationLabel = "pipes.example.com/user-id", "pipes.example.com/organization-id"

func fromLabel(key string) *v1alpha1.NamespaceLabelSource {
	return &v1alpha1.NamespaceLabelSource{NamespaceLabel: key}
}

// Changes of a grant.
func byUserLabel(g *v1alpha1.Grant) { g.UserIDs, g.UserIDsFrom = nil, fromLabel(userLabel) }

func byOrganizationLabel(g *v1alpha1.Grant) {
	g.OrganizationIDs, g.OrganizationIDsFrom = nil, fromLabel(organizationLabel)
}

func byBothLabels(g *v1alpha1.Grant) { byUserLabel(g); byOrganizationLabel(g) }

func forOwners(owners ...v1alpha1.ConnectionOwner) func(*v1alpha1.Grant) {
	return func(g *v1alpha1.Grant) { g.ConnectionOwners = owners }
}

// label sets labels of the tenant's namespace, and waits until the operator has seen them. An empty
// value removes the label.
func (w *world) label(labels map[string]string) {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.tenant}}
	w.edit(namespace, func() {
		for key, value := range labels {
			if namespace.Labels[key] = value; value == "" {
				delete(namespace.Labels, key)
			}
		}
	})
	seen := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: w.tenant}}
	seen.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	w.awaitCached(seen)
}

// says returns the message of the condition Ready.
func says(token *v1alpha1.PipesToken) string { return token.Status.Conditions[0].Message }

// expectDenied creates token, and expects that nobody asks WorkOS for it.
func (w *world) expectDenied(token *v1alpha1.PipesToken) {
	GinkgoHelper()
	w.connect(token)
	w.settled(token, v1alpha1.NotGrantedReason)
	Expect(w.upstream.Requests()).To(BeEmpty())
	Expect(w.secret(token)).To(BeNil())
}

var _ = Describe("Grants by a label of the namespace", func() {
	var w *world
	BeforeEach(func() { w = running() })

	DescribeTable("allow and deny",
		func(allowed bool, change func(*v1alpha1.Grant), labels map[string]string) {
			w.label(labels)
			w.setGrants(w.grant(change))
			w.waitForEnvironment(v1alpha1.AvailableReason)
			token := w.token("alice")
			if !allowed {
				w.expectDenied(token)
				return
			}
			w.connect(token)
			w.settled(token, v1alpha1.TokenSyncedReason)
		},
		Entry("the user of the label", true, byUserLabel, map[string]string{userLabel: "alice"}),
		Entry("another user", false, byUserLabel, map[string]string{userLabel: "bob"}),
		Entry("the user in another case", false, byUserLabel, map[string]string{userLabel: "Alice"}),
		Entry("no label", false, byUserLabel, nil),
		Entry("another label", false, byUserLabel, map[string]string{organizationLabel: "alice"}),
		Entry("the organization of the label", true, byOrganizationLabel, map[string]string{organizationLabel: "org_1"}),
		Entry("another organization", false, byOrganizationLabel, map[string]string{organizationLabel: "org_2"}),
		Entry("no label with an organization", false, byOrganizationLabel, map[string]string{userLabel: "alice"}),
		Entry("both labels", true, byBothLabels, map[string]string{userLabel: "alice", organizationLabel: "org_1"}),
		Entry("one of both labels", false, byBothLabels, map[string]string{userLabel: "alice"}),
		Entry("both labels, exchanged", false, byBothLabels, map[string]string{userLabel: "org_1", organizationLabel: "alice"}),
		Entry("the label, but another slug", false, func(g *v1alpha1.Grant) { byUserLabel(g); g.Slugs = []string{"slack"} },
			map[string]string{userLabel: "alice"}),
		Entry("the label, but another namespace", false, func(g *v1alpha1.Grant) { byUserLabel(g); g.Namespaces.Names = []string{"elsewhere"} },
			map[string]string{userLabel: "alice"}),
	)

	DescribeTable("never fit a PipesToken without an organization", func(value string) {
		w.label(map[string]string{organizationLabel: value})
		w.setGrants(w.grant(byOrganizationLabel))
		w.waitForEnvironment(v1alpha1.AvailableReason)
		token := w.token("alice")
		token.Spec.OrganizationID = ""
		w.expectDenied(token)
	},
		Entry("where the label is absent", ""),
		Entry("where the label is none", v1alpha1.NoOrganization),
		Entry("where the label has an organization", "org_1"),
	)

	It("follow the label within a second, both ways", func() {
		w.setGrants(w.grant(byUserLabel))
		w.waitForEnvironment(v1alpha1.AvailableReason)
		token := w.token("alice")
		w.expectDenied(token)
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.tenant}}
		take := func(change func(), reason string) time.Duration {
			GinkgoHelper()
			w.edit(namespace, change)
			changed := time.Now()
			w.waitForReason(token, reason)
			return time.Since(changed)
		}

		// The machine may be busy, so the best of three attempts counts.
		given, taken := time.Hour, time.Hour
		for _, end := range []func(){
			func() { namespace.Labels[userLabel] = "bob" },
			func() { delete(namespace.Labels, userLabel) },
			func() { namespace.Labels[userLabel] = "" },
		} {
			w.timeline.advance(workos.MinInterval)
			given = min(given, take(func() { namespace.Labels[userLabel] = "alice" }, v1alpha1.TokenSyncedReason))
			Expect(w.tokenIn(token)).To(Equal(w.held(token)))
			taken = min(taken, take(end, v1alpha1.NotGrantedReason))
			Expect(w.secret(token).Data).To(BeEmpty())
		}
		Expect(given).To(BeNumerically("<", time.Second), "until the token is there")
		Expect(taken).To(BeNumerically("<", time.Second), "until the token is gone")
	})

	It("take the token away from a suspended PipesToken too", func() {
		w.label(map[string]string{userLabel: "alice"})
		w.setGrants(w.grant(byUserLabel))
		w.waitForEnvironment(v1alpha1.AvailableReason)
		token := w.synced("alice")
		w.edit(token, func() { token.Spec.Suspend = true })
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		w.label(map[string]string{userLabel: "bob"})
		w.waitForReason(token, v1alpha1.NotGrantedReason)
		Expect(w.secret(token).Data).To(BeEmpty())
	})

	It("say which label of the own namespace does not have the ID, and nothing of others", func() {
		w.setGrants(w.grant(byBothLabels), w.grant(func(g *v1alpha1.Grant) {
			byUserLabel(g)
			g.Namespaces.Names, g.UserIDsFrom = []string{"elsewhere"}, fromLabel("elsewhere.example.com/user-id")
		}), w.grant(func(g *v1alpha1.Grant) { g.UserIDs = []string{"user_of_others"} }))
		w.waitForEnvironment(v1alpha1.AvailableReason)
		token := w.token("alice")
		w.expectDenied(token)
		Expect(says(token)).To(And(
			ContainSubstring(`A grant takes the user from label "`+userLabel+`" of the namespace: the namespace has no such label, or its value is empty`),
			ContainSubstring(`A grant takes the organization from label "`+organizationLabel+`" of the namespace: the namespace has no such label`),
			Not(ContainSubstring("elsewhere")), Not(ContainSubstring("user_of_others"))))
		w.label(map[string]string{userLabel: "bob", organizationLabel: "org_1"})
		Eventually(func() string { return says(w.reload(token)) }, soon, often).Should(And(
			ContainSubstring(`A grant takes the user from label "`+userLabel+`" of the namespace: its value is "bob"`),
			Not(ContainSubstring("takes the organization"))))
	})

	It("fit nothing while the operator ignores the labels of namespaces", func() {
		w.label(map[string]string{userLabel: "alice"})
		w.operator.stop()
		w.start(func(r *pipestoken.Reconciler) { r.IgnoreNamespaceLabels = true })
		w.setGrants(w.grant(byUserLabel))
		w.waitForEnvironment(v1alpha1.AvailableReason)
		token := w.token("alice")
		w.expectDenied(token)
		Expect(says(token)).To(HaveSuffix("its owner can add one to spec.grants"))
	})

	It("deny in a namespace that was deleted and created anew without its label", func() {
		w.label(map[string]string{userLabel: "alice"})
		w.setGrants(w.grant(byUserLabel))
		w.waitForEnvironment(v1alpha1.AvailableReason)
		token := w.synced("alice")
		secret := w.secret(token)
		w.recreateNamespace(token, secret)
		Expect(w.upstream.Requests()).To(HaveLen(1))

		again := w.token("alice")
		w.settled(again, v1alpha1.NotGrantedReason)
		Expect(w.upstream.Requests()).To(HaveLen(1))
		Expect(w.secret(again)).To(BeNil())
		w.timeline.advance(workos.MinInterval)
		w.label(map[string]string{userLabel: "alice"})
		w.waitForReason(again, v1alpha1.TokenSyncedReason)
	})
})

// recreateNamespace deletes the tenant's namespace with these objects, and creates it anew without
// labels. No controller of namespaces runs in the tests, so it plays that part.
func (w *world) recreateNamespace(objects ...client.Object) {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.tenant}}
	Expect(user.Delete(w.ctx, namespace)).To(Succeed())
	for _, object := range objects {
		Expect(client.IgnoreNotFound(user.Delete(w.ctx, object))).To(Succeed())
		Eventually(func() bool {
			return apierrors.IsNotFound(user.Get(w.ctx, client.ObjectKeyFromObject(object), object.DeepCopyObject().(client.Object)))
		}, soon, often).Should(BeTrue())
	}
	Expect(user.Get(w.ctx, client.ObjectKeyFromObject(namespace), namespace)).To(Succeed())
	namespace.Spec.Finalizers = nil
	Expect(user.SubResource("finalize").Update(w.ctx, namespace)).To(Succeed())
	w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.tenant}})
	w.label(nil)
}

var _ = Describe("Grants for owners of connections", func() {
	var w *world
	BeforeEach(func() { w = running() })

	const ofUser, ofOrganization = v1alpha1.ConnectionOwnerUser, v1alpha1.ConnectionOwnerOrganization
	DescribeTable("allow and deny",
		func(allowed bool, owner v1alpha1.ConnectionOwner, change func(*v1alpha1.Grant)) {
			w.setGrants(w.grant(change))
			w.waitForEnvironment(v1alpha1.AvailableReason)
			token := w.token("alice")
			token.Spec.ConnectionOwner = owner
			if !allowed {
				w.expectDenied(token)
				return
			}
			w.connect(token)
			w.settled(token, v1alpha1.TokenSyncedReason)
		},
		Entry("the default, of a user", true, ofUser, forOwners()),
		Entry("the default, of an organization", false, ofOrganization, forOwners()),
		Entry("users, of a user", true, ofUser, forOwners(ofUser)),
		Entry("users, of an organization", false, ofOrganization, forOwners(ofUser)),
		Entry("organizations, of a user", false, ofUser, forOwners(ofOrganization)),
		Entry("organizations, of an organization", true, ofOrganization, forOwners(ofOrganization)),
		Entry("both, of a user", true, ofUser, forOwners(ofUser, ofOrganization)),
		Entry("both, of an organization", true, ofOrganization, forOwners(ofUser, ofOrganization)),
	)

	It("say that the organization's connection is not granted", func() {
		token := w.token("alice")
		token.Spec.ConnectionOwner = ofOrganization
		w.expectDenied(token)
		Expect(says(token)).To(ContainSubstring(`to ask for the organization's connection with slug "github", user "alice" and organization "org_1": `))
	})

	It("take the token away when Organization is removed", func() {
		w.setGrants(w.grant(forOwners(ofOrganization)))
		w.waitForEnvironment(v1alpha1.AvailableReason)
		token := w.token("alice")
		token.Spec.ConnectionOwner = ofOrganization
		w.connect(token)
		w.settled(token, v1alpha1.TokenSyncedReason)
		w.setGrants(w.grant(forOwners()))
		w.waitForReason(token, v1alpha1.NotGrantedReason)
		Expect(w.secret(token).Data).To(BeEmpty())
	})

	It("are not needed in the environment's own namespace", func() {
		w.setGrants()
		w.waitForEnvironment(v1alpha1.AvailableReason)
		token := w.token("alice")
		token.Namespace, token.Spec.ConnectionOwner = w.home, ofOrganization
		w.connect(token)
		w.settled(token, v1alpha1.TokenSyncedReason)
	})
})
