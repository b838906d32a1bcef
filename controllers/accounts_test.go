package controllers_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workos"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// message returns the message of Ready.
func (w *world) message(token *v1alpha1.PipesToken) string {
	GinkgoHelper()
	for _, c := range w.reload(token).Status.Conditions {
		if c.Type == v1alpha1.ReadyCondition {
			return c.Message
		}
	}
	return ""
}

// credential is a connection with another method than OAuth.
func credential(method workossim.AuthMethod) func(*workossim.Connection) {
	return func(c *workossim.Connection) {
		c.AuthMethod = method
		c.Metadata = map[string]any{"instance_url": "https://shop.example.com"}
		c.Config = map[string]string{"region": "eu"}
	}
}

var _ = Describe("The connection of an organization", func() {
	var w *world
	BeforeEach(func() { w = running() })

	shared := func(name string) *v1alpha1.PipesToken {
		token := w.token(name)
		token.Namespace = w.home // where no grant is needed
		token.Spec.ConnectionOwner = v1alpha1.ConnectionOwnerOrganization
		return token
	}

	It("is used by a member, and is not the connection of the member", func() {
		own := w.synced("alice")
		token := shared("shared")
		token.Spec.UserID = "alice"
		w.upstream.SetMembers("org_1", "alice")
		w.connect(token)
		w.settled(token, v1alpha1.TokenSyncedReason)
		Expect(w.tokenIn(token)).To(Equal(w.held(token)))
		Expect(w.tokenIn(token)).NotTo(Equal(w.tokenIn(own)))
	})

	It("is refused to a user who is no member, with what to do", func() {
		token := shared("mallory")
		w.upstream.SetMembers("org_1", "alice")
		w.connect(token)
		w.settled(token, v1alpha1.RequestRejectedReason)
		Expect(w.message(token)).To(ContainSubstring("that the user is an active member of the organization"))
		Expect(kstatusOf(token)).To(Equal(status.FailedStatus))
	})

	It("keeps a valid token while the user is no member any more", func() {
		token := shared("alice")
		w.upstream.SetMembers("org_1", "alice")
		w.connect(token)
		w.settled(token, v1alpha1.TokenSyncedReason)
		before := w.secret(token)
		w.upstream.SetMembers("org_1", "bob")
		w.timeline.advance(58 * time.Minute)
		Expect(conditionsOf(w.reload(token))).To(ContainElement("RenewalFailed=True/RequestRejected"))
		Expect(w.secret(token)).To(Equal(before))
	})
})

var _ = Describe("Several connections of one user", func() {
	It("need a selector, and the message says so", func() {
		w := running()
		first := w.token("alice")
		w.connect(first)
		second := w.token("second")
		second.Spec.UserID = "alice"
		second.Spec.ConnectedAccountID = "data_installation_2"
		w.connect(second)
		w.settled(first, v1alpha1.TokenSyncedReason)
		w.settled(second, v1alpha1.TokenSyncedReason)
		Expect(w.tokenIn(second)).To(Equal(w.held(second)))
		Expect(w.tokenIn(second)).NotTo(Equal(w.tokenIn(first)))

		gone := w.token("gone")
		gone.Spec.UserID = "alice"
		gone.Spec.ConnectedAccountID = "data_installation_3"
		w.settled(gone, v1alpha1.IntegrationNotFoundReason)
		Expect(w.message(gone)).To(ContainSubstring("connected account"))

		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultAccountSelection, Times: 1})
		asked := w.token("asked")
		w.settled(asked, v1alpha1.AccountSelectionRequiredReason)
		Expect(w.message(asked)).To(ContainSubstring("spec.connectedAccountID"))
	})
})

var _ = Describe("An account with an API key", func() {
	It("has one key in its Secret, which follows a new key at WorkOS", func() {
		w := running()
		token := w.token("alice")
		token.Spec.AuthMethod = v1alpha1.AuthMethodAPIKey
		w.connect(token, credential(workossim.AuthAPIKey))
		w.settled(token, v1alpha1.TokenSyncedReason)
		data := w.secret(token).Data
		Expect(data).To(HaveLen(1))
		Expect(string(data["api_key"])).To(Equal(w.held(token)))
		Expect(w.reload(token).Status.ExpirationTime).To(BeNil())

		Expect(w.upstream.RotateKey(idOf(token))).To(BeTrue())
		w.timeline.advance(time.Hour)
		Expect(string(w.secret(token).Data["api_key"])).To(Equal(w.held(token)))
		Expect(w.secret(token).Data["api_key"]).NotTo(Equal(data["api_key"]))
	})
})

var _ = Describe("An account with client credentials", func() {
	It("gives its metadata and config to the template, and rewrites the Secret when they change", func() {
		w := running()
		token := w.token("alice")
		token.Spec.AuthMethod = v1alpha1.AuthMethodClientCredentials
		token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataTemplate{
			"token": "{{ .AccessToken }}", "url": `{{ index .Metadata "instance_url" }}`, "region": `{{ index .Config "region" }}`,
		}}
		id := w.connect(token, credential(workossim.AuthClientCredentials))
		w.settled(token, v1alpha1.TokenSyncedReason)
		data := w.secret(token).Data
		Expect(string(data["token"])).To(Equal(w.held(token)))
		Expect(string(data["url"])).To(Equal("https://shop.example.com"))
		Expect(string(data["region"])).To(Equal("eu"))
		Expect(w.reload(token).Status.ExpirationTime).NotTo(BeNil())

		w.timeline.advance(workos.MinInterval)
		w.upstream.Put(workossim.Connection{ID: id, AuthMethod: workossim.AuthClientCredentials, Lifetime: time.Hour, Config: map[string]string{"region": "us"}})
		w.waitForPass(token, func() {
			w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"} })
		})
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(string(w.secret(token).Data["region"])).To(Equal("us"))
		Expect(string(w.secret(token).Data["url"])).To(BeEmpty())
	})

	It("keeps a valid token when its method changes at WorkOS, and the message names the new one", func() {
		w := running()
		token := w.token("alice")
		token.Spec.AuthMethod = v1alpha1.AuthMethodClientCredentials
		id := w.connect(token, credential(workossim.AuthClientCredentials))
		w.settled(token, v1alpha1.TokenSyncedReason)
		before := w.secret(token)
		w.upstream.Put(workossim.Connection{ID: id, AuthMethod: workossim.AuthAPIKey})
		w.timeline.advance(58 * time.Minute)
		Expect(conditionsOf(w.reload(token))).To(ContainElement("RenewalFailed=True/AuthMethodMismatch"))
		Expect(w.secret(token)).To(Equal(before))
		w.timeline.advance(5 * time.Minute)
		Expect(w.message(token)).To(ContainSubstring("authMethod APIKey"))
	})

	It("cannot be asked for as OAuth, and the message says what to do", func() {
		w := running()
		token := w.token("alice")
		w.connect(token, credential(workossim.AuthClientCredentials))
		w.settled(token, v1alpha1.AuthMethodMismatchReason)
		Expect(w.message(token)).To(ContainSubstring("create a PipesToken with the method of the account"))
	})
})
