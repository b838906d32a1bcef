package controllers_test

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

var _ = Describe("Objects of which the caches hold stubs", func() {
	var w *world
	BeforeEach(func() { w = running() })

	large := func() *v1alpha1.PipesToken {
		token := w.token("alice")
		template := &v1alpha1.SecretTemplate{Annotations: map[string]v1alpha1.AnnotationValue{}}
		for i := range 8 {
			template.Annotations[fmt.Sprintf("example.com/note-%d", i)] = v1alpha1.AnnotationValue(strings.Repeat("n", 4000))
		}
		token.Spec.SecretTemplate = template
		return token
	}

	It("have their whole template written, renewed and changed", func() {
		token := large()
		w.connect(token, alwaysFresh)
		w.settled(token, v1alpha1.TokenSyncedReason)
		first := w.tokenIn(token)
		Expect(w.secret(token).Annotations).To(HaveKeyWithValue("example.com/note-7", HaveLen(4000)))

		w.timeline.advance(time.Minute)
		w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"} })
		Eventually(func() string { return w.tokenIn(token) }, soon, often).ShouldNot(Equal(first))
		Eventually(func() string { return w.reload(token).Status.LastHandledRefreshRequest }, soon, often).Should(Equal("now"))

		w.edit(token, func() { token.Spec.SecretTemplate.Annotations["example.com/note-7"] = "short" })
		Eventually(func() map[string]string { return w.secret(token).Annotations }, soon, often).
			Should(HaveKeyWithValue("example.com/note-7", "short"))
	})

	It("keep what others have put on the Secret", func() {
		token := w.synced("alice", alwaysFresh)
		w.timeline.advance(time.Minute)
		secret, first := w.secret(token), w.tokenIn(token)
		w.edit(secret, func() { secret.Annotations["example.com/theirs"] = strings.Repeat("t", 100_000) })
		w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"} })
		Eventually(func() string { return w.tokenIn(token) }, soon, often).ShouldNot(Equal(first))
		Expect(w.secret(token).Annotations).To(HaveKeyWithValue("example.com/theirs", HaveLen(100_000)))
		Expect(w.secret(token).Labels).To(HaveKeyWithValue(v1alpha1.ManagedByLabel, v1alpha1.ManagedByValue))
	})

	It("lose their token with their grant", func() {
		token := large()
		w.connect(token)
		w.settled(token, v1alpha1.TokenSyncedReason)
		environment := w.environment()
		w.edit(environment, func() { environment.Spec.Grants = nil })
		Eventually(func() map[string][]byte { return w.secret(token).Data }, soon, often).Should(BeEmpty())
		w.waitForReason(token, v1alpha1.NotGrantedReason)
	})

	It("report long scopes once", func() {
		token := w.synced("alice", func(c *workossim.Connection) {
			for i := range 60 {
				c.Scopes = append(c.Scopes, fmt.Sprintf("https://scopes.example.com/%d/%s", i, strings.Repeat("s", 200)))
			}
		})
		Expect(w.reload(token).Status.Scopes).To(HaveLen(62))
		version := token.ResourceVersion
		w.waitForPass(token, func() { w.edit(token, func() { token.Spec.Suspend = true }) })
		w.timeline.settle()
		Expect(w.reload(token).Status.Scopes).To(HaveLen(62))
		w.restart()
		w.timeline.settle()
		generation := token.ResourceVersion
		Expect(generation).NotTo(Equal(version), "the edit")
		Consistently(func() string { return w.reload(token).ResourceVersion }, 200*time.Millisecond, often).Should(Equal(generation))
	})
})
