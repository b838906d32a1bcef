package v1alpha1_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// exclusive returns the message of the API server for both forms of a field.
func exclusive(field string) string {
	return field + "From: Forbidden: " + field + " and " + field + "From exclude each other: remove one of them"
}

// refusingForm is refusing, also for values of a wrong type: server-side apply refuses them before
// the validation, with the path and other words.
func refusingForm(way, says string) OmegaMatcher {
	if way == serverSideApply && strings.Contains(says, "of type") {
		return MatchRegexp(`failed to create typed patch object .*spec\.grants\[0\]\.\w+.*: expected (map|list|string), got`)
	}
	return refusing(way, says)
}

const (
	labelKeyRule = `namespaceLabel must be the key of a label: up to 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends, and optionally a DNS name and '/' before them`
	owners       = `supported values: "User", "Organization"`
)

var _ = Describe("A grant that takes IDs from a label", func() {
	var there *unstructured.Unstructured

	BeforeEach(func(ctx context.Context) { there = withNarrowGrant(ctx) })

	for _, field := range []string{"userIDs", "organizationIDs"} {
		from := field + "From"
		DescribeTable("is refused, whoever writes it, with "+field+" and", func(ctx context.Context, list, label, says string) {
			for name, send := range ways {
				err := send(ctx, there, lacking(field, list, from, label))
				Expect(err).To(MatchError(refusingForm(name, says)), name)
				expectNarrowGrant(ctx, there)
			}
		},
			Entry("both forms", `["a"]`, `{"namespaceLabel": "a"}`, exclusive(field)),
			Entry("any beside a label", `["*"]`, `{"namespaceLabel": "a"}`, exclusive(field)),
			Entry("an empty list beside a label", `[]`, `{"namespaceLabel": "a"}`, "should have at least 1 items"),
			Entry("a list beside an empty label", `["a"]`, `{}`, "namespaceLabel: Required value"),
			Entry("neither form", absent, absent, listRequired[field]),
			Entry("null in both forms", `null`, `null`, listRequired[field]),
			Entry("null for the label", absent, `null`, listRequired[field]),
			Entry("an empty list and null", `[]`, `null`, listRequired[field]),
			Entry("an empty source", absent, `{}`, from+".namespaceLabel: Required value"),
			Entry("a source of null", absent, `{"namespaceLabel": null}`, from+".namespaceLabel: Required value"),
			Entry("an empty key", absent, `{"namespaceLabel": ""}`, "should be at least 1 chars long"),
			Entry("a text as source", absent, `"a"`, "must be of type object"),
			Entry("a list as source", absent, `["a"]`, "must be of type object"),
			Entry("a number as key", absent, `{"namespaceLabel": 1}`, "must be of type string"),
		)
	}

	It("is stored as it is written, and the other form can replace it", func(ctx context.Context) {
		for name, send := range ways {
			if strings.Contains(name, "POST") {
				continue // it creates another object
			}
			Expect(user.Get(ctx, client.ObjectKeyFromObject(there), there)).To(Succeed())
			Expect(send(ctx, there, lacking("userIDs", absent, "userIDsFrom", `{"namespaceLabel": "example.com/user-id"}`))).To(Succeed(), name)
			stored := storedFor(ctx, there)
			Expect(stored[0].Spec.Grants).To(HaveLen(1), name)
			Expect(stored[0].Spec.Grants[0].UserIDs).To(BeNil(), name)
			Expect(stored[0].Spec.Grants[0].UserIDsFrom).To(Equal(&v1alpha1.NamespaceLabelSource{NamespaceLabel: "example.com/user-id"}), name)
			Expect(user.Get(ctx, client.ObjectKeyFromObject(there), there)).To(Succeed())
			Expect(send(ctx, there, narrowGrant)).To(Succeed(), name)
			expectNarrowGrant(ctx, there)
		}
	})
})

var _ = Describe("The owners of a grant", func() {
	var there *unstructured.Unstructured

	BeforeEach(func(ctx context.Context) { there = withNarrowGrant(ctx) })

	DescribeTable("are refused, whoever writes them:", func(ctx context.Context, list, says string) {
		for name, send := range ways {
			err := send(ctx, there, lacking("connectionOwners", list))
			Expect(err).To(MatchError(refusingForm(name, says)), name)
			expectNarrowGrant(ctx, there)
		}
	},
		Entry("an empty list", `[]`, `should have at least 1 items`),
		Entry("an empty owner", `[""]`, `connectionOwners[0]: Unsupported value: "": `+owners),
		Entry("any", `["*"]`, `connectionOwners[0]: Unsupported value: "*": `+owners),
		Entry("an owner in another case", `["User", "organization"]`, `connectionOwners[1]: Unsupported value: "organization": `+owners),
		Entry("three", `["User", "Organization", "Team"]`, `connectionOwners: Too many: 3: must have at most 2 items`),
		Entry("a text", `"Organization"`, `must be of type array`),
		Entry("a number", `[1]`, `must be of type string`),
	)

	// Server-side apply reports a duplicate before validation, with other words.
	It("are refused when one is listed twice", func(ctx context.Context) {
		for name, send := range ways {
			Expect(send(ctx, there, lacking("connectionOwners", `["Organization", "Organization"]`))).To(
				MatchError(Or(ContainSubstring(`connectionOwners[1]: Duplicate value: "Organization"`), ContainSubstring("duplicate"))), name)
			expectNarrowGrant(ctx, there)
		}
	})

	It("are only users if the list is absent or null, whoever writes it", func(ctx context.Context) {
		for name, send := range ways {
			for _, form := range []string{absent, "null"} {
				Expect(user.Get(ctx, client.ObjectKeyFromObject(there), there)).To(Succeed())
				if err := send(ctx, there, lacking("connectionOwners", form)); err != nil {
					Expect(form).To(Equal("null"), "%s: %v", name, err)
					Expect(err).To(MatchError(refusing(name, "of type")), name)
				}
				for _, stored := range storedFor(ctx, there) {
					for _, grant := range stored.Spec.Grants {
						Expect(grant.ConnectionOwners).To(HaveExactElements(v1alpha1.ConnectionOwnerUser), name)
					}
					if stored.Name != there.GetName() {
						Expect(user.Delete(ctx, &stored)).To(Succeed())
					}
				}
			}
		}
	})

	It("are only users again when Organization is removed with its list", func(ctx context.Context) {
		Expect(ways["a JSON patch"](ctx, there, lacking("connectionOwners", `["User", "Organization"]`))).To(Succeed())
		remove := client.RawPatch("application/json-patch+json", []byte(`[{"op": "remove", "path": "/spec/grants/0/connectionOwners"}]`))
		Expect(user.Patch(ctx, there.DeepCopy(), remove)).To(Succeed())
		expectNarrowGrant(ctx, there)
	})
})

var _ = Describe("The key of a label in a grant", func() {
	grant := func(key string) string {
		return `{grants: [{namespaces: {names: [a]}, slugs: ["*"], organizationIDs: ["*"], userIDsFrom: {namespaceLabel: "` + key + `"}}]}`
	}

	DescribeTable("can be", func(ctx context.Context, key string) {
		Expect(tryToCreate(ctx, "PipesEnvironment", leastEnvironment, grant(key))).To(Succeed())
	}, entries(`a`, `user-id`, `A.b_c-1`, `1`, `example.com/user-id`, `a/b`, `kubernetes.io/metadata.name`,
		strings.Repeat("a", 63), strings.Repeat("a", 253)+`/`+strings.Repeat("b", 63)))

	DescribeTable("cannot be", func(ctx context.Context, key string) {
		Expect(words(tryToCreate(ctx, "PipesEnvironment", leastEnvironment, grant(key)))).To(ConsistOf(And(
			HavePrefix(`spec.grants[0].userIDsFrom.namespaceLabel: Invalid value: `), HaveSuffix(": "+labelKeyRule))))
	}, entries(`a b`, ` a`, `a\n`, `a/b/c`, `/a`, `a/`, `/`, `-a`, `a-`, `..`, `a..b/c`, `Example.com/a`, `-a/b`, `a_b/c`, `ü`, `*`, `{{ .Name }}`,
		strings.Repeat("a", 64), strings.Repeat("a", 254)+`/b`))

	It("is told to be too long", func(ctx context.Context) {
		Expect(words(tryToCreate(ctx, "PipesEnvironment", leastEnvironment, grant(strings.Repeat("b", 318))))).To(ConsistOf(
			`spec.grants[0].userIDsFrom.namespaceLabel: Too long: may not be more than 317 bytes`))
	})

	It("is unknown by another name", func(ctx context.Context) {
		Expect(words(tryToCreate(ctx, "PipesEnvironment", leastEnvironment,
			`{grants: [{namespaces: {names: [a]}, slugs: ["*"], organizationIDs: ["*"], userIDsFrom: {label: a}}]}`))).To(ConsistOf(
			unknownField("PipesEnvironment", "spec.grants[0].userIDsFrom.label")))
	})

	It("can be another in each of the most grants", func(ctx context.Context) {
		one := `{namespaces: {names: [` + counted("n-", 256) + `]}, slugs: [` + counted("s_", 128) + `], organizationIDsFrom: {namespaceLabel: ` +
			strings.Repeat("a", 253) + `/` + strings.Repeat("b", 63) + `}, userIDsFrom: {namespaceLabel: ` + strings.Repeat("a.", 126) + `a/b}, connectionOwners: [Organization, User]}`
		Expect(tryToCreate(ctx, "PipesEnvironment", leastEnvironment, `{grants: [`+repeated(64, one)+`]}`)).To(Succeed())
	})
})
