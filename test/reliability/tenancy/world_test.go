//go:build reliability

package tenancy_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

const (
	apiKey   = "sk_test_canary_key"
	floodKey = "sk_test_canary_flood"
	// neighbour is the namespace of the users who are attacked. It has a PipesToken, victim, and
	// a PipesEnvironment, private.
	neighbour = "neighbour"
	victim    = "victim"
	private   = "private"
	// granted is the user that the tenant may ask for, if an attack begins with a grant.
	granted = "user_granted"
)

// settleIn creates the objects that exist before any attack: the default PipesEnvironment, and a
// neighbour whose Secret contains a token.
func settleIn() {
	GinkgoHelper()
	w := &world{ctx: context.Background(), namespace: neighbour}
	createNamespace(neighbour)
	w.must(newSecret(harness.Namespace, "workos-api-key", map[string]string{"api-key": apiKey}))
	w.must(newSecret(harness.Namespace, "flood-api-key", map[string]string{"api-key": floodKey}))
	w.must(newSecret(neighbour, "workos-api-key", map[string]string{"api-key": apiKey}))
	w.must(newEnvironment(harness.Namespace, "default", `{grants: [{namespaces: {names: [neighbour]}, `+anything+`}]}`))
	w.must(newEnvironment(neighbour, private, `{}`))
	network.workos.Put(workossim.Connection{ID: workossim.ID{Slug: "github", UserID: "user_victim"}, Lifetime: 10000 * time.Hour})
	token := w.pipesToken(victim, `{userID: user_victim, environmentRef: null}`)
	w.must(token)
	w.expectReady(token, v1alpha1.TokenSyncedReason, "")
	queues.Settle()
	Expect(network.count(toWorkOS)).To(Equal(1), "the network of the tests works")
	common = makeWorld(all)
	DeferCleanup(common.end)
}

// common is a world for attacks that the API server refuses, and that therefore leave nothing
// behind.
var common *world

// world is the environment of one attack: a namespace of the tenant, and a PipesEnvironment that
// may have grants for it.
type world struct {
	ctx                    context.Context
	namespace, environment string
	// editor and admin are clients of users who have the built-in role of that name in the
	// namespace, and no other right.
	editor, admin client.Client
}

// newWorld creates a namespace for the tenant, and a PipesEnvironment in the operator's namespace
// with these grants, in YAML. TENANT in grants stands for the name of the tenant's namespace.
func newWorld(grants string) *world {
	GinkgoHelper()
	w := makeWorld(grants)
	DeferCleanup(w.end)
	return w
}

func makeWorld(grants string) *world {
	GinkgoHelper()
	name := "tenant-" + rand.String(6)
	w := &world{ctx: context.Background(), namespace: name, environment: name}
	createNamespace(name)
	w.editor, w.admin = userWith(w.ctx, "edit", name), userWith(w.ctx, "admin", name)
	environment := newEnvironment(harness.Namespace, w.environment, strings.ReplaceAll(grants, "TENANT", name))
	w.must(environment)
	w.expectReady(environment, v1alpha1.AvailableReason, "")
	queues.Settle()
	return w
}

// all allows the tenant everything; one allows it one user. anything completes a grant that names
// namespaces.
const (
	anything = `slugs: ["*"], organizationIDs: ["*"], userIDs: ["*"]`
	nothing  = `{}`
	all      = `{grants: [{namespaces: {names: [TENANT]}, ` + anything + `}]}`
	one      = `{grants: [{namespaces: {names: [TENANT]}, slugs: [github], userIDs: [` + granted + `], organizationIDs: ["*"]}]}`
)

// end searches the namespace for canaries, and deletes the objects that the operator would
// requeue.
func (w *world) end() {
	expectNoCanaryIn(w.namespace)
	for _, object := range []client.Object{&v1alpha1.PipesToken{}, &v1alpha1.PipesEnvironment{}} {
		Expect(root.DeleteAllOf(w.ctx, object, client.InNamespace(w.namespace))).To(Succeed())
	}
	Expect(root.Delete(w.ctx, newEnvironment(harness.Namespace, w.environment, `{}`))).To(Succeed())
	queues.Settle()
}

// must creates an object as the administrator of the cluster.
func (w *world) must(object client.Object) {
	GinkgoHelper()
	Expect(root.Create(w.ctx, object)).To(Succeed())
}

// pipesToken returns a PipesToken of the tenant for the user granted. changes are merged to its
// spec, as YAML; null removes a field.
func (w *world) pipesToken(name, changes string) *unstructured.Unstructured {
	GinkgoHelper()
	return object("PipesToken", w.namespace, name, fmt.Sprintf(`{slug: github, userID: %s, environmentRef: {name: %q, namespace: %s}}`,
		granted, w.environment, harness.Namespace), changes)
}

// newEnvironment returns a PipesEnvironment with the API key of its namespace.
func newEnvironment(namespace, name, changes string) *unstructured.Unstructured {
	GinkgoHelper()
	return object("PipesEnvironment", namespace, name, `{apiKeySecretRef: {name: workos-api-key, key: api-key}, requestsPerMinute: 60000}`, changes)
}

func newSecret(namespace, name string, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, StringData: data}
}

// synced creates a PipesToken that is granted and connected, and waits until its Secret contains
// a token.
func (w *world) synced(name, changes string) *unstructured.Unstructured {
	GinkgoHelper()
	token := w.pipesToken(name, changes)
	w.connect(token)
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectReady(token, v1alpha1.TokenSyncedReason, "")
	queues.Settle()
	return token
}

// connect gives the user of a PipesToken a connection at WorkOS that returns another token at
// each call.
func (w *world) connect(token *unstructured.Unstructured) {
	id := workossim.ID{Slug: field(token, "slug"), UserID: field(token, "userID"), OrganizationID: field(token, "organizationID")}
	network.workos.Put(workossim.Connection{ID: id, Lifetime: time.Hour, AlwaysFresh: true})
}

// afterPass calls do, and waits until the operator has reconciled the object after that.
func (w *world) afterPass(object client.Object, do func()) {
	GinkgoHelper()
	request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)}
	before := queues.PassesOf(request)
	do()
	Eventually(func() int { return queues.PassesOf(request) }, soon, often).Should(BeNumerically(">", before))
	queues.Settle()
}

// edit changes an object with the rights of attacker, as kubectl edit does.
func (w *world) edit(attacker client.Client, object client.Object, change func()) error {
	GinkgoHelper()
	Expect(root.Get(w.ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
	before := object.DeepCopyObject().(client.Object)
	change()
	return attacker.Patch(w.ctx, object, client.MergeFrom(before))
}
