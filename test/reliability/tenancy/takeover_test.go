//go:build reliability

package tenancy_test

import (
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// wanted is the name of the Secret that an attacker wants to own or to change.
const wanted = "wanted"

// ourLabels returns the labels of the Secret of a PipesToken with that name.
func ourLabels(token string) map[string]string {
	return map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue, v1alpha1.TokenLabel: token}
}

// ownedBy returns an owner reference to a PipesToken.
func ownedBy(name string, uid types.UID, controller bool) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "PipesToken", Name: name, UID: uid, Controller: ptr.To(controller),
	}
}

// somebodyElses returns a Secret that no PipesToken has written.
func (w *world) somebodyElses(change func(*corev1.Secret)) *corev1.Secret {
	secret := newSecret(w.namespace, wanted, map[string]string{"password": "canary"})
	change(secret)
	return secret
}

var _ = DescribeTable("The name of somebody else's Secret", func(calls int, change func(*corev1.Secret)) {
	w := newWorld(one)
	w.must(w.somebodyElses(change))
	token := w.pipesToken("mine", `{secretName: wanted}`)
	w.connect(token)
	before := w.takeStock()
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectReady(token, v1alpha1.SecretConflictReason, `Secret "wanted" exists and belongs to somebody else, so it is left alone`)
	// A Secret without our label is not cached, so the conflict shows only when the token is
	// written.
	w.expectOnly(before, slices.Repeat([]string{askedForGitHub}, calls)...)
},
	attack("T14", "of an application", 1, func(*corev1.Secret) {}),
	attack("T14", "with an API key", 1, func(s *corev1.Secret) { s.StringData = map[string]string{"api-key": apiKey} }),
	attack("T14", "that cannot be changed", 1, func(s *corev1.Secret) { s.Immutable = ptr.To(true) }),
	attack("T14", "of TLS", 1, func(s *corev1.Secret) {
		s.Type, s.StringData = corev1.SecretTypeTLS, map[string]string{"tls.crt": "canary", "tls.key": "canary"}
	}),
	attack("T14", "of Helm", 1, func(s *corev1.Secret) { s.Type, s.Labels = "helm.sh/release.v1", map[string]string{"owner": "helm"} }),
	attack("T14", "that another controller owns", 1, func(s *corev1.Secret) {
		s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "x", UID: "x", Controller: ptr.To(true)}}
	}),
	attack("T14", "that waits for its deletion", 1, func(s *corev1.Secret) { s.Finalizers = []string{"example.com/x"} }),

	attack("T15", "with the label of ours, and no name of a PipesToken", 0, func(s *corev1.Secret) { s.Labels = map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue} }),
	attack("T15", "with the labels of another PipesToken's", 0, func(s *corev1.Secret) { s.Labels = ourLabels("min") }),
	attack("T15", "with our labels in another case", 0, func(s *corev1.Secret) { s.Labels = ourLabels("Mine") }),
	attack("T15", "with the name of the PipesToken, and another manager", 1, func(s *corev1.Secret) {
		s.Labels = map[string]string{v1alpha1.ManagedByLabel: "Helm", v1alpha1.TokenLabel: "mine"}
	}),
	attack("T15", "with our labels, and a controller that is gone", 0, func(s *corev1.Secret) {
		s.Labels, s.OwnerReferences = ourLabels("mine"), []metav1.OwnerReference{ownedBy("mine", "00000000-0000-0000-0000-000000000000", true)}
	}),
	attack("T15", "with our labels, and another controller", 0, func(s *corev1.Secret) {
		s.Labels = ourLabels("mine")
		s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "mine", UID: "x", Controller: ptr.To(true)}}
	}),
	attack("T15", "with the facts of a valid token", 0, func(s *corev1.Secret) {
		s.Labels, s.Annotations = ourLabels("other"), map[string]string{"pipes.workos.com/expires-at": "never", "pipes.workos.com/token-hash": "x"}
	}),
)

var _ = DescribeTable("The Secret of another PipesToken", func(change func(w *world, theirs, mine client.Object)) {
	w := newWorld(one)
	theirs := w.synced("theirs", `{secretName: wanted}`)
	mine := w.pipesToken("mine", `{secretName: wanted}`)
	change(w, theirs, mine)
	before := w.takeStock()
	Expect(w.editor.Create(w.ctx, mine)).To(Succeed())
	w.expectReady(mine, v1alpha1.SecretConflictReason, `Secret "wanted" exists and belongs to somebody else`)
	w.expectNothingDone(before)
	queues.Advance(20 * time.Minute)
	w.expectReady(mine, v1alpha1.SecretConflictReason, "")
	w.expectNothingDone(before)
	w.expectReady(theirs, v1alpha1.TokenSyncedReason, "")
},
	attack("T14", "as it is", func(*world, client.Object, client.Object) {}),
	attack("T14", "with another way to end", func(_ *world, _, mine client.Object) { setSpec(mine, "inactivePolicy", "Delete") }),
	attack("T15", "with the attacker as a further owner", func(w *world, theirs, _ client.Object) {
		w.editSecret(wanted, theirs, func(s *corev1.Secret) {
			s.OwnerReferences = append(s.OwnerReferences, ownedBy("mine", "11111111-1111-1111-1111-111111111111", false))
		})
	}),
)

var _ = It("T14: two PipesTokens with one Secret do not take it from each other", Label("T14"), func() {
	w := newWorld(one)
	w.synced("first", `{secretName: wanted}`)
	second := w.pipesToken("second", `{secretName: wanted}`)
	Expect(w.editor.Create(w.ctx, second)).To(Succeed())
	w.expectReady(second, v1alpha1.SecretConflictReason, "")
	before := w.takeStock()
	for _, value := range []string{"a", "b", "c"} {
		w.afterPass(second, func() { w.askNow(second, value) })
	}
	w.expectNothingDone(before)
})

var _ = It("T14: a PipesToken that is created anew, for another user, waits until the former one's Secret is gone", Label("T14"), func() {
	w := newWorld(all)
	first := w.synced("mine", `{}`)
	w.afterPass(first, func() { Expect(w.editor.Delete(w.ctx, first)).To(Succeed()) })
	again := w.pipesToken("mine", `{userID: user_victim}`)
	w.connect(again)
	w.refused(byCondition(v1alpha1.SecretConflictReason, `Secret "mine" exists and belongs to somebody else`), w.creating(w.editor, again))

	By("as garbage collection sees to")
	Expect(w.editor.Delete(w.ctx, newSecret(w.namespace, "mine", nil))).To(Succeed())
	w.expectReady(again, v1alpha1.TokenSyncedReason, "")
})

var _ = It("T15: an orphan of another type is not taken over", Label("T15"), func() {
	w := newWorld(one)
	w.must(w.somebodyElses(func(s *corev1.Secret) {
		s.Labels, s.Type, s.StringData = ourLabels("mine"), corev1.SecretTypeTLS, map[string]string{"tls.crt": "canary", "tls.key": "canary"}
	}))
	token := w.pipesToken("mine", `{secretName: wanted}`)
	w.connect(token)
	before := w.takeStock()
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectReady(token, v1alpha1.SecretRejectedReason, "The API server refuses the Secret")
	w.expectOnly(before, askedForGitHub)
})

var _ = It("T15: a Secret that names a PipesToken as its controller, before that one writes it, loses what was in it", Label("T15"), func() {
	w := newWorld(one)
	token := w.pipesToken("mine", `{secretName: wanted, suspend: true}`)
	w.connect(token)
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectReady(token, v1alpha1.SuspendedReason, "")
	w.must(w.somebodyElses(func(s *corev1.Secret) {
		s.Labels = ourLabels("mine")
		s.Annotations = map[string]string{"pipes.workos.com/expires-at": "never", "pipes.workos.com/token-hash": "x", "pipes.workos.com/template-hash": "x"}
		s.OwnerReferences = []metav1.OwnerReference{ownedBy("mine", token.GetUID(), true)}
	}))
	w.afterPass(token, func() { Expect(w.edit(w.editor, token, func() { setSpec(token, "suspend", false) })).To(Succeed()) })
	w.expectReady(token, v1alpha1.TokenSyncedReason, "")
	secret := w.secretOf(wanted)
	Expect(secret.Data).NotTo(HaveKey("password"))
	Expect(secret.Data).To(HaveKey("access_token"))
	Expect(secret.Annotations).NotTo(HaveKeyWithValue("pipes.workos.com/expires-at", "never"))
})

var _ = It("T15: PipesTokens with long names do not share a label, however alike they are", Label("T15"), func() {
	w := newWorld(one)
	long := strings.Repeat("a", 250)
	first := w.synced(long+"-1", `{secretName: wanted}`)
	w.editSecret(wanted, first, func(s *corev1.Secret) { s.OwnerReferences[0].UID = "00000000-0000-0000-0000-000000000000" })
	second := w.pipesToken(long+"-2", `{secretName: wanted}`)
	w.refused(byCondition(v1alpha1.SecretConflictReason, "belongs to somebody else"), w.creating(w.editor, second))
	Expect(len(w.secretOf(wanted).Labels[v1alpha1.TokenLabel])).To(BeNumerically("<=", 63))
})

// Attack: the token label of a PipesToken with a long name contains a hash. The attacker names a
// PipesToken as this label, or as the hash in it, to take over the orphaned Secret. The API
// server refuses the whole label as a name.
var _ = DescribeTable("A PipesToken that is named as the label of another, whose Secret is orphaned", func(part string, says refusal) {
	w := newWorld(all)
	theirs := w.synced(strings.Repeat("a", 70), `{secretName: wanted}`)
	w.afterPass(theirs, func() { Expect(w.edit(w.editor, theirs, func() { setSpec(theirs, "suspend", true) })).To(Succeed()) })
	w.editSecret(wanted, theirs, func(s *corev1.Secret) { s.OwnerReferences = nil })
	mine := w.pipesToken(regexp.MustCompile(part).FindString(w.secretOf(wanted).Labels[v1alpha1.TokenLabel]), `{secretName: wanted, userID: user_victim}`)
	w.connect(mine)
	w.refused(says, w.creating(w.editor, mine))
},
	attack("T15", "as a whole", `.*`, byAPIServer(`metadata.name: Invalid value`)),
	attack("T15", "by its hash", `[0-9a-f]{32}`, byCondition(v1alpha1.SecretConflictReason, `Secret "wanted" exists and belongs to somebody else`)),
)
