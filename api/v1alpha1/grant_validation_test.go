package v1alpha1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	v1alpha1ac "github.com/pipes-operator/pipes-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

// grantLists are the lists that each grant must have.
var grantLists = []string{"slugs", "organizationIDs", "userIDs"}

// listRequired returns the message of the API server for a missing list.
var listRequired = map[string]string{
	"slugs":           `slugs is required: list slugs, or write ["*"] for any`,
	"organizationIDs": `organizationIDs is required: list IDs, "none" for PipesTokens without an organization, or write ["*"] for any; or use organizationIDsFrom`,
	"userIDs":         `userIDs is required: list IDs, or write ["*"] for any; or use userIDsFrom`,
}

// narrowGrant has every list, with one item each.
const narrowGrant = `{"namespaces": {"names": ["a"]}, "slugs": ["github"], "organizationIDs": ["org_1"], "userIDs": ["user_1"]}`

// environmentJSON returns a PipesEnvironment with one grant, as a client might send it.
func environmentJSON(name, grant string) []byte {
	return fmt.Appendf(nil, `{"apiVersion": %q, "kind": "PipesEnvironment", "metadata": {"name": %q, "namespace": "default"},
		"spec": {"apiKeySecretRef": {"name": "workos-api-key", "key": "api-key"}, "grants": [%s]}}`, v1alpha1.GroupVersion, name, grant)
}

// lacking returns narrowGrant without a field, or with the given JSON as its value. It takes pairs
// of fields and forms.
func lacking(pairs ...string) string {
	GinkgoHelper()
	grant := map[string]json.RawMessage{}
	Expect(json.Unmarshal([]byte(narrowGrant), &grant)).To(Succeed())
	for i := 0; i < len(pairs); i += 2 {
		if grant[pairs[i]] = json.RawMessage(pairs[i+1]); pairs[i+1] == absent {
			delete(grant, pairs[i])
		}
	}
	text, err := json.Marshal(grant)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

const absent = "absent"

// A way is one of the ways to send a spec to the API server. It takes the name of a
// PipesEnvironment with narrowGrant, and tries to store the given grant in it.
type way func(ctx context.Context, there *unstructured.Unstructured, grant string) error

func post(validation string) way {
	return func(ctx context.Context, there *unstructured.Unstructured, grant string) error {
		created := &unstructured.Unstructured{}
		Expect(created.UnmarshalJSON(environmentJSON(there.GetName()+"-new", grant))).To(Succeed())
		return client.WithFieldValidation(user, client.FieldValidation(validation)).Create(ctx, created)
	}
}

func postSecond(ctx context.Context, there *unstructured.Unstructured, grant string) error {
	return post(metav1.FieldValidationStrict)(ctx, there, narrowGrant+", "+grant)
}

func put(ctx context.Context, there *unstructured.Unstructured, grant string) error {
	updated := &unstructured.Unstructured{}
	Expect(updated.UnmarshalJSON(environmentJSON(there.GetName(), grant))).To(Succeed())
	updated.SetResourceVersion(there.GetResourceVersion())
	return user.Update(ctx, updated)
}

func patch(kind types.PatchType, format string) way {
	return func(ctx context.Context, there *unstructured.Unstructured, grant string) error {
		return user.Patch(ctx, there.DeepCopy(), client.RawPatch(kind, fmt.Appendf(nil, format, grant)))
	}
}

// apply sends the JSON as it is, because a typed apply configuration cannot contain null.
func apply(ctx context.Context, there *unstructured.Unstructured, grant string) error {
	patch := client.RawPatch(types.ApplyPatchType, environmentJSON(there.GetName(), grant))
	return user.Patch(ctx, there.DeepCopy(), patch, client.FieldOwner("test"), client.ForceOwnership)
}

// ways have names, so that a failure says which of them accepted a grant.
var ways = map[string]way{
	"a strict POST":         post(metav1.FieldValidationStrict),
	"a POST that warns":     post(metav1.FieldValidationWarn),
	"a lenient POST":        post(metav1.FieldValidationIgnore),
	"a PUT":                 put,
	"a merge patch":         patch(types.MergePatchType, `{"spec": {"grants": [%s]}}`),
	"a JSON patch":          patch(types.JSONPatchType, `[{"op": "replace", "path": "/spec/grants/0", "value": %s}]`),
	serverSideApply:         apply,
	"another grant, POSTed": postSecond,
}

const serverSideApply = "a server-side apply"

// refusing matches the error of a way. Server-side apply keeps null and the other ways drop it.
// For server-side apply, the API server therefore reports that null has the wrong type.
func refusing(way, says string) OmegaMatcher {
	if way == serverSideApply {
		return Or(ContainSubstring(says), MatchRegexp(`in body must be of type \w+: "null"`))
	}
	return ContainSubstring(says)
}

// withNarrowGrant creates a PipesEnvironment with narrowGrant.
func withNarrowGrant(ctx context.Context) *unstructured.Unstructured {
	GinkgoHelper()
	there := object("PipesEnvironment", parse(`{apiKeySecretRef: {name: workos-api-key, key: api-key}, grants: [`+narrowGrant+`]}`))
	Expect(user.Create(ctx, there)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { Expect(user.Delete(ctx, there)).To(Succeed()) })
	return there
}

// storedFor returns the PipesEnvironments whose name begins with the name of there: itself, and
// what a way has created.
func storedFor(ctx context.Context, there *unstructured.Unstructured) []v1alpha1.PipesEnvironment {
	GinkgoHelper()
	list := &v1alpha1.PipesEnvironmentList{}
	Expect(user.List(ctx, list, client.InNamespace(there.GetNamespace()))).To(Succeed())
	return slices.DeleteFunc(list.Items, func(stored v1alpha1.PipesEnvironment) bool { return !strings.HasPrefix(stored.Name, there.GetName()) })
}

// expectNarrowGrant expects that nothing was stored, and that no stored grant has become wider.
func expectNarrowGrant(ctx context.Context, there *unstructured.Unstructured) {
	GinkgoHelper()
	for _, stored := range storedFor(ctx, there) {
		Expect(stored.Name).To(Equal(there.GetName()))
		Expect(stored.Spec.Grants).To(HaveExactElements(v1alpha1.Grant{
			Namespaces: v1alpha1.GrantNamespaces{Names: []string{"a"}},
			Slugs:      []string{"github"}, OrganizationIDs: []string{"org_1"}, UserIDs: []string{"user_1"},
			ConnectionOwners: []v1alpha1.ConnectionOwner{v1alpha1.ConnectionOwnerUser},
		}))
	}
}

var _ = Describe("A grant without one of its lists", func() {
	var there *unstructured.Unstructured

	BeforeEach(func(ctx context.Context) { there = withNarrowGrant(ctx) })

	expectUnchanged := func(ctx context.Context) {
		GinkgoHelper()
		expectNarrowGrant(ctx, there)
	}

	for name, send := range ways {
		for _, field := range grantLists {
			for _, form := range []string{absent, "null", "[]"} {
				It("is refused: "+name+" with "+field+" "+form, func(ctx context.Context) {
					Expect(send(ctx, there, lacking(field, form))).To(MatchError(refusing(name, listRequired[field])))
					expectUnchanged(ctx)
				})
			}
		}
	}

	It("is refused when a JSON patch removes a list", func(ctx context.Context) {
		for _, field := range grantLists {
			remove := fmt.Sprintf(`[{"op": "remove", "path": "/spec/grants/0/%s"}]`, field)
			err := user.Patch(ctx, there.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(remove)))
			Expect(words(err)).To(ConsistOf(`spec.grants[0].` + field + `: Required value: ` + listRequired[field]))
		}
		expectUnchanged(ctx)
	})

	It("is refused from a Go client, whose omitempty drops an empty list", func(ctx context.Context) {
		environment := &v1alpha1.PipesEnvironment{
			ObjectMeta: metav1.ObjectMeta{Name: there.GetName() + "-go", Namespace: there.GetNamespace()},
			Spec: v1alpha1.PipesEnvironmentSpec{
				APIKeySecretRef: v1alpha1.SecretKeyReference{Name: "workos-api-key", Key: "api-key"},
				Grants: []v1alpha1.Grant{{
					Namespaces: v1alpha1.GrantNamespaces{Names: []string{"a"}},
					Slugs:      []string{"github"}, OrganizationIDs: []string{v1alpha1.Any}, UserIDs: []string{},
				}},
			},
		}
		Expect(words(user.Create(ctx, environment))).To(ConsistOf(`spec.grants[0].userIDs: Required value: ` + listRequired["userIDs"]))
		expectUnchanged(ctx)
	})

	It("is refused from a Go client's apply configuration", func(ctx context.Context) {
		grant := v1alpha1ac.Grant().WithNamespaces(v1alpha1ac.GrantNamespaces().WithNames("a")).
			WithSlugs("github").WithOrganizationIDs(v1alpha1.NoOrganization).WithUserIDs()
		applied := v1alpha1ac.PipesEnvironment(there.GetName()+"-go", there.GetNamespace()).WithSpec(v1alpha1ac.PipesEnvironmentSpec().
			WithAPIKeySecretRef(v1alpha1ac.SecretKeyReference().WithName("workos-api-key").WithKey("api-key")).WithGrants(grant))
		Expect(words(user.Apply(ctx, applied, client.FieldOwner("test")))).To(ConsistOf(
			`spec.grants[0].userIDs: Required value: ` + listRequired["userIDs"]))
		expectUnchanged(ctx)
	})

	It("is told of each list that is missing", func(ctx context.Context) {
		Expect(words(post(metav1.FieldValidationStrict)(ctx, there, `{"namespaces": {"names": ["*"]}}`))).To(ConsistOf(
			`spec.grants[0].slugs: Required value: `+listRequired["slugs"],
			`spec.grants[0].organizationIDs: Required value: `+listRequired["organizationIDs"],
			`spec.grants[0].userIDs: Required value: `+listRequired["userIDs"]))
		expectUnchanged(ctx)
	})

	DescribeTable("is refused in the same way when its namespaces are", func(ctx context.Context, namespaces, says string) {
		for name, send := range ways {
			err := send(ctx, there, lacking("namespaces", namespaces))
			Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%s: %v", name, err)
			Expect(err).To(MatchError(refusing(name, says)), name)
			expectUnchanged(ctx)
		}
	},
		Entry("absent", absent, "namespaces: Required value"),
		Entry("null", "null", "namespaces: Required value"),
		Entry("empty", "{}", "namespaces needs names or selector"),
		Entry("nulls", `{"names": null, "selector": null}`, "namespaces needs names or selector"),
		Entry("an empty list", `{"names": []}`, "should have at least 1 items"),
		Entry("an empty list, beside null", `{"names": [], "selector": null}`, "should have at least 1 items"),
		Entry("an empty selector", `{"selector": {}}`, "selector must not be empty"),
		Entry("a selector of nulls", `{"selector": {"matchLabels": null, "matchExpressions": null}}`, "selector must not be empty"),
		Entry("a selector of nothing", `{"selector": {"matchLabels": {}, "matchExpressions": []}}`, "selector must not be empty"),
		Entry("one label without a value", `{"selector": {"matchLabels": {"team": null}}}`, "selector must not be empty"),
	)
})
