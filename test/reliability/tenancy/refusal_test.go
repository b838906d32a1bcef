//go:build reliability

package tenancy_test

import (
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// refusal is how an attack has to end.
type refusal struct {
	// api is part of what the API server says to the attacker; empty when it lets them.
	api string
	// reason is that of Ready then, and says is part of its message, which is for the administrator.
	reason, says string
}

func byAPIServer(says string) refusal         { return refusal{api: says} }
func byCondition(reason, says string) refusal { return refusal{reason: reason, says: says} }

// refused makes an attack and expects it to end as told, with nothing done: no dial, no name looked up, no call to WorkOS, no write to
// what others have. The object that is returned is the one whose condition tells.
func (w *world) refused(end refusal, try func() (client.Object, error)) {
	GinkgoHelper()
	before := w.takeStock()
	object, err := try()
	if end.api != "" {
		Expect(err).To(MatchError(ContainSubstring(end.api)))
	} else {
		Expect(err).NotTo(HaveOccurred())
		w.expectReady(object, end.reason, end.says)
	}
	w.expectNothingDone(before)
}

// creating is the attack of creating an object.
func (w *world) creating(attacker client.Client, object client.Object) func() (client.Object, error) {
	return func() (client.Object, error) { return object, attacker.Create(w.ctx, object) }
}

// expectReady waits until the operator has said this of the object's generation.
func (w *world) expectReady(object client.Object, reason, says string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		seen := w.reload(object)
		ready := readyOf(seen)
		g.Expect(ready["reason"]).To(Equal(reason), "Ready says: %s", ready["message"])
		g.Expect(ready["observedGeneration"]).To(BeEquivalentTo(seen.GetGeneration()))
		g.Expect(ready["message"]).To(ContainSubstring(says))
	}, soon, often).Should(Succeed())
}

// expectLookedAt waits until the operator has said anything of the object's generation.
func (w *world) expectLookedAt(object client.Object) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		seen := w.reload(object)
		g.Expect(readyOf(seen)["observedGeneration"]).To(BeEquivalentTo(seen.GetGeneration()))
	}, soon, often).Should(Succeed())
	queues.settle()
}

// stock is what nobody but the operator could have done in the network, and what others have in the cluster.
type stock struct {
	mark    int
	objects map[string]string
}

// damage counts the objects of others that an attack has changed.
var damage atomic.Int32

// takeStock sees all Secrets, and what PipesTokens and PipesEnvironments there are outside of the tenant's namespace.
func (w *world) takeStock() stock {
	GinkgoHelper()
	seen := stock{mark: network.mark(), objects: map[string]string{}}
	for _, kind := range []schema.GroupVersionKind{
		corev1.SchemeGroupVersion.WithKind("SecretList"), v1alpha1.GroupVersion.WithKind("PipesTokenList"), v1alpha1.GroupVersion.WithKind("PipesEnvironmentList"),
	} {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind)
		Expect(root.List(w.ctx, list)).To(Succeed())
		for _, object := range list.Items {
			if kind.Kind == "SecretList" || object.Namespace != w.namespace {
				seen.objects[kind.Kind+" "+object.Namespace+"/"+object.Name] = string(object.UID) + " at " + object.ResourceVersion
			}
		}
	}
	return seen
}

// expectNothingDone expects that what others have is as it was, and that the operator has not so much as dialled.
func (w *world) expectNothingDone(before stock) {
	GinkgoHelper()
	queues.settle()
	Expect(network.since(before.mark)).To(BeEmpty(), "the attack has sent the operator into the network")
	w.expectNoDamage(before)
}

// expectOnly expects these calls to WorkOS, each of which may have needed a dial, and else nothing.
func (w *world) expectOnly(before stock, calls ...string) {
	GinkgoHelper()
	queues.settle()
	Expect(network.callsSince(before.mark)).To(HaveExactElements(calls), "the attack has sent the operator into the network")
	w.expectNoDamage(before)
}

func (w *world) expectNoDamage(before stock) {
	GinkgoHelper()
	after := w.takeStock()
	for key := range after.objects {
		if after.objects[key] != before.objects[key] {
			damage.Add(1)
		}
	}
	Expect(after.objects).To(Equal(before.objects), "the attack has changed what others have")
}
