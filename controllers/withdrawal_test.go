package controllers_test

import (
	"context"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// Attack: a tenant tries to keep the token after the grant is withdrawn. Whatever the tenant has
// done to the PipesToken or its Secret, the token must be removed, or the status must say that
// the token is still in the Secret.
var _ = Describe("Withdrawal", func() {
	var w *world
	BeforeEach(func() { w = running() })

	withdrawGrant := func() {
		environment := w.environment()
		w.edit(environment, func() { environment.Spec.Grants = nil })
	}
	suspend := func(token *v1alpha1.PipesToken) {
		w.waitForPass(token, func() { w.edit(token, func() { token.Spec.Suspend = true }) })
	}
	message := func(token *v1alpha1.PipesToken) string { return w.reload(token).Status.Conditions[0].Message }

	for _, policy := range []v1alpha1.InactivePolicy{v1alpha1.InactivePolicyClear, v1alpha1.InactivePolicyDelete} {
		It("reaches the Secret of a suspended PipesToken that was orphaned: "+string(policy), func() {
			token := w.token("alice")
			token.Spec.InactivePolicy = policy
			w.connect(token)
			w.settled(token, v1alpha1.TokenSyncedReason)
			suspend(token)
			secret := w.secret(token)
			w.waitForPass(token, func() { w.edit(secret, func() { secret.OwnerReferences = nil }) })
			withdrawGrant()
			w.waitForReason(token, v1alpha1.NotGrantedReason)
			Expect(w.tokenIn(token)).To(BeEmpty())
			Expect(message(token)).NotTo(ContainSubstring("still in the Secret"))
		})
	}

	It("reaches the Secret of a PipesToken that waits for a finalizer", func() {
		token := w.token("alice")
		token.Finalizers = []string{"example.com/hold"}
		w.connect(token)
		w.settled(token, v1alpha1.TokenSyncedReason)
		calls := len(w.upstream.Requests())
		w.waitForPass(token, func() { Expect(user.Delete(w.ctx, token)).To(Succeed()) })
		DeferCleanup(func() { w.edit(token, func() { token.Finalizers = nil }) })
		w.timeline.advance(30 * time.Minute)
		Expect(w.tokenIn(token)).NotTo(BeEmpty())
		withdrawGrant()
		w.waitForReason(token, v1alpha1.NotGrantedReason)
		Expect(w.tokenIn(token)).To(BeEmpty())
		w.timeline.advance(24 * time.Hour)
		Expect(w.upstream.Requests()).To(HaveLen(calls), "no token is fetched for what is being deleted")
	})

	It("of a PipesToken that waits for a finalizer creates no Secret anew", func() {
		token := w.token("alice")
		token.Finalizers = []string{"example.com/hold"}
		w.connect(token)
		w.settled(token, v1alpha1.TokenSyncedReason)
		w.waitForPass(token, func() { Expect(user.Delete(w.ctx, token)).To(Succeed()) })
		DeferCleanup(func() { w.edit(token, func() { token.Finalizers = nil }) })
		w.waitForPass(token, func() { Expect(user.Delete(w.ctx, w.secret(token))).To(Succeed()) })
		w.timeline.advance(time.Hour)
		Expect(w.secret(token)).To(BeNil())
		Expect(w.reload(token).Status.Conditions[0].Message).To(ContainSubstring("being deleted"))
	})

	It("tells of a Secret that has another controller by now", func() {
		token := w.synced("alice")
		secret := w.secret(token)
		w.waitForPass(token, func() {
			w.edit(secret, func() {
				secret.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "x", Controller: ptr.To(true)}}
			})
		})
		withdrawGrant()
		w.waitForReason(token, v1alpha1.NotGrantedReason)
		Expect(w.tokenIn(token)).NotTo(BeEmpty())
		Expect(message(token)).To(And(ContainSubstring("The token is still in the Secret"), ContainSubstring("delete it")))
		w.waitForPass(token, func() { Expect(user.Delete(w.ctx, secret)).To(Succeed()) })
		Eventually(func() string { return message(token) }, soon, often).ShouldNot(ContainSubstring("still in the Secret"))
	})

	It("leaves a Secret alone that a deleted PipesToken of the same name has left, and tells of it", func() {
		token := w.synced("alice")
		secret := w.secret(token)
		w.waitForPass(token, func() { Expect(user.Delete(w.ctx, token)).To(Succeed()) })
		w.edit(secret, func() { secret.OwnerReferences = nil })
		withdrawGrant()
		w.waitForEnvironment(v1alpha1.AvailableReason)
		again := w.token("alice")
		w.create(again)
		w.waitForReason(again, v1alpha1.NotGrantedReason)
		Expect(w.secret(again)).To(Equal(secret))
		Expect(message(again)).To(ContainSubstring("does not belong to this PipesToken"))
	})

	It("wins against somebody who edits the Secret all the time", func() {
		token := w.synced("alice")
		ctx, stop := context.WithCancel(w.ctx)
		var editing sync.WaitGroup
		DeferCleanup(func() { stop(); editing.Wait() })
		for range 2 {
			editing.Go(func() {
				for ctx.Err() == nil {
					secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "alice", Namespace: w.tenant}}
					patch := []byte(`{"metadata":{"annotations":{"example.com/beat":"` + time.Now().Format(time.RFC3339Nano) + `"}}}`)
					_ = user.Patch(ctx, secret, client.RawPatch("application/merge-patch+json", patch))
				}
			})
		}
		withdrawGrant()
		Eventually(func() string { return w.tokenIn(token) }, soon, often).Should(BeEmpty())
		stop()
		editing.Wait()
		w.waitForReason(token, v1alpha1.NotGrantedReason)
		Expect(message(token)).NotTo(ContainSubstring("still in the Secret"))
	})
})
