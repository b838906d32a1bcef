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

// refusal is how an attack must end.
type refusal struct {
	// api is part of the API server's error message to the attacker; empty if the API server
	// accepts the request.
	api string
	// If the API server accepts the request, reason is the reason of the Ready condition, and
	// says is part of its message, which is for the administrator.
	reason, says string
}

func byAPIServer(says string) refusal         { return refusal{api: says} }
func byCondition(reason, says string) refusal { return refusal{reason: reason, says: says} }

// refused makes an attack. It expects that the attack ends as end says, and that it has no other
// effect: no dial, no name lookup, no call to WorkOS, no write to objects of others. try returns
// the object whose condition is checked.
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

// creating returns the attack of creating an object.
func (w *world) creating(attacker client.Client, object client.Object) func() (client.Object, error) {
	return func() (client.Object, error) { return object, attacker.Create(w.ctx, object) }
}

// expectReady waits until the Ready condition has this reason and message for the current
// generation.
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

// expectLookedAt waits until the Ready condition is of the current generation.
func (w *world) expectLookedAt(object client.Object) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		seen := w.reload(object)
		g.Expect(readyOf(seen)["observedGeneration"]).To(BeEquivalentTo(seen.GetGeneration()))
	}, soon, often).Should(Succeed())
	queues.Settle()
}

// stock is the network activity of the operator, and the objects that do not belong to the
// tenant, at one time.
type stock struct {
	mark    int
	objects map[string]string
}

// damage counts the objects of others that attacks have changed.
var damage atomic.Int32

// takeStock notes all Secrets, and the PipesTokens and PipesEnvironments outside of the tenant's
// namespace.
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

// expectNothingDone expects that the objects are as before, and that the operator has not
// dialled.
func (w *world) expectNothingDone(before stock) {
	GinkgoHelper()
	queues.Settle()
	Expect(network.since(before.mark)).To(BeEmpty(), "the attack has sent the operator into the network")
	w.expectNoDamage(before)
}

// expectOnly expects exactly these calls to WorkOS and no other effect. A call may have needed a
// dial.
func (w *world) expectOnly(before stock, calls ...string) {
	GinkgoHelper()
	queues.Settle()
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
