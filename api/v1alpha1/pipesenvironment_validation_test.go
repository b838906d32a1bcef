package v1alpha1_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

const (
	entryKeyRule  = `key must be letters, digits, '-', '_' and '.', and not be '.' or begin with '..'`
	baseURLRule   = `baseURL must be a URL such as https://api.workos.com: http or https, with a host, without user, query, fragment and spaces`
	nameRule      = `names must be names of namespaces, or '*' for all: patterns such as 'team-*' are not supported, use selector`
	slugsRule     = `slugs must be letters, digits, '-' and '_', and begin with a letter or digit, or be '*' for any`
	namespaceRule = `namespaces needs names or selector; names: ["*"] stands for all`
	selectorRule  = `selector must not be empty; names: ["*"] stands for all namespaces`
)

func idsRule(field string) string {
	return field + " must be letters, digits, '-' and '_', or be '*' for any"
}

// withFullGrants adds the missing lists to each grant in changes, a YAML spec. A case names only the
// part of a grant that it tests.
func withFullGrants(changes string) string {
	GinkgoHelper()
	spec := parse(changes)
	list, _ := spec["grants"].([]any)
	for _, grant := range list {
		if grant, ok := grant.(map[string]any); ok {
			for _, field := range grantLists {
				if _, given := grant[field]; !given {
					grant[field] = []any{v1alpha1.Any}
				}
			}
		}
	}
	text, err := yaml.Marshal(spec)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

func atLeastOne(field string) string {
	return fmt.Sprintf("Invalid value: 0: spec.%s in body should have at least 1 items", field)
}

func tooShort(field string) string {
	return fmt.Sprintf("Invalid value: \"\": spec.%s in body should be at least 1 chars long", field)
}

var _ = Describe("A PipesEnvironment", func() {
	DescribeTable("is created with", func(ctx context.Context, changes string) {
		Expect(tryToCreate(ctx, "PipesEnvironment", leastEnvironment, withFullGrants(changes))).To(Succeed())
	}, entries(
		`{}`,
		`{apiKeySecretRef: {name: a.b-c, key: .A_b-c.1}}`,
		`{apiKeySecretRef: {name: `+strings.Repeat("a", 253)+`, key: `+strings.Repeat("b", 253)+`}}`,
		`{baseURL: https://api.workos-test.com}`, `{baseURL: https://api.workos.com/}`, `{baseURL: https://proxy.example.com/workos/v1}`,
		`{baseURL: http://localhost:8080}`, `{baseURL: "https://[::1]:8443"}`, `{baseURL: HTTPS://API.WORKOS.COM}`,
		`{requestsPerMinute: 1}`, `{requestsPerMinute: 60000}`,
		`{grants: [{namespaces: {names: ["*"]}}]}`,
		`{grants: [{namespaces: {names: ["*", a, a-1, "1"]}}]}`,
		`{grants: [{namespaces: {selector: {matchLabels: {team: ai}}}}]}`,
		`{grants: [{namespaces: {selector: {matchExpressions: [{key: team, operator: Exists}]}}}]}`,
		`{grants: [{namespaces: {names: [a], selector: {matchLabels: {team: ai}, matchExpressions: [{key: a, operator: In, values: [b]}]}}}]}`,
		`{grants: [{namespaces: {names: [a]}, slugs: [github, google-drive_2], organizationIDs: [org_1, org_2], userIDs: [user_1, _, "-"]}]}`,
		`{grants: [{namespaces: {names: [a]}}, {namespaces: {names: [a]}}]}`,
		`{grants: [{namespaces: {names: [a]}, slugs: ["*"], organizationIDs: ["*"], userIDs: ["*"]}]}`,
		`{grants: [{namespaces: {names: [a]}, organizationIDs: [none]}]}`,
		`{grants: [{namespaces: {names: [a]}, organizationIDs: [org_1, none, org_2]}]}`,
		`{grants: [{namespaces: {names: [a]}, slugs: [`+strings.Repeat("a", 128)+`], organizationIDs: [`+strings.Repeat("b", 128)+`], userIDs: [`+strings.Repeat("c", 128)+`]}]}`,
		`{grants: [`+repeated(64, `{namespaces: {names: [a]}}`)+`]}`,
		// The largest lists stay within the cost limit of the rules.
		`{grants: [{namespaces: {names: [`+counted("n-", 256)+`]}, slugs: [`+counted("s_", 128)+`],
			organizationIDs: [`+counted("org_01EHZNVPK3SFK441A1RGBF", 1024)+`], userIDs: [`+counted("user_01EHZNVPK3SFK441A1RGBF", 1024)+`]}]}`,
		// The rules in the CRD cannot check expressions, because an unbounded list exceeds their cost
		// limit. GrantsValid reports a wrong expression.
		`{grants: [{namespaces: {selector: {matchExpressions: [{key: a, operator: Like}]}}}]}`,
		`{grants: [{namespaces: {selector: {matchExpressions: [{key: a, operator: In}]}}}]}`,
		`{grants: [{namespaces: {selector: {matchLabels: {a b: c}}}}]}`,
	))

	DescribeTable("is refused with", func(ctx context.Context, changes string, want []string) {
		for i, line := range want {
			if !strings.HasPrefix(line, "PipesEnvironment") && !strings.HasPrefix(line, "<nil>") {
				want[i] = "spec." + line
			}
		}
		Expect(words(tryToCreate(ctx, "PipesEnvironment", leastEnvironment, withFullGrants(changes)))).To(ConsistOf(want))
	},
		Entry("no API key", `{apiKeySecretRef: null}`, lines(`apiKeySecretRef: Required value`)),
		Entry("an empty reference to it", `{apiKeySecretRef: {name: null, key: null}}`, lines(
			`apiKeySecretRef.name: Required value`, `apiKeySecretRef.key: Required value`)),
		Entry("a text as reference", `{apiKeySecretRef: x}`, lines(
			`apiKeySecretRef: Invalid value: "string": spec.apiKeySecretRef in body must be of type object: "string"`)),
		Entry("an empty name", `{apiKeySecretRef: {name: ""}}`, lines(`apiKeySecretRef.name: `+tooShort("apiKeySecretRef.name"))),
		Entry("a name that is too long", `{apiKeySecretRef: {name: LONG}}`, lines(`apiKeySecretRef.name: Too long: may not be more than 253 bytes`)),
		Entry("a name that cannot be one", `{apiKeySecretRef: {name: A_b}}`, lines(`apiKeySecretRef.name: Invalid value: "A_b": name`+dnsNameRule)),
		Entry("a name with a namespace", `{apiKeySecretRef: {name: other/a}}`, lines(`apiKeySecretRef.name: Invalid value: "other/a": name`+dnsNameRule)),
		Entry("a way up as name", `{apiKeySecretRef: {name: ..}}`, lines(`apiKeySecretRef.name: Invalid value: "..": name`+dnsNameRule)),
		Entry("a number as name", `{apiKeySecretRef: {name: 1}}`, lines(
			`apiKeySecretRef.name: Invalid value: "integer": spec.apiKeySecretRef.name in body must be of type string: "integer"`)),
		Entry("an empty key", `{apiKeySecretRef: {key: ""}}`, lines(`apiKeySecretRef.key: `+tooShort("apiKeySecretRef.key"))),
		Entry("a key that is too long", `{apiKeySecretRef: {key: LONG}}`, lines(`apiKeySecretRef.key: Too long: may not be more than 253 bytes`)),
		Entry("a path as key", `{apiKeySecretRef: {key: a/b}}`, lines(`apiKeySecretRef.key: Invalid value: "a/b": `+entryKeyRule)),
		Entry("a way up as key", `{apiKeySecretRef: {key: ..}}`, lines(`apiKeySecretRef.key: Invalid value: "..": `+entryKeyRule)),
		Entry("a dot as key", `{apiKeySecretRef: {key: .}}`, lines(`apiKeySecretRef.key: Invalid value: ".": `+entryKeyRule)),
		Entry("a key that begins with ..", `{apiKeySecretRef: {key: ..a}}`, lines(`apiKeySecretRef.key: Invalid value: "..a": `+entryKeyRule)),
		Entry("a Secret elsewhere", `{apiKeySecretRef: {namespace: other}}`, lines(unknownField("PipesEnvironment", "spec.apiKeySecretRef.namespace"))),
		Entry("the API key itself", `{apiKey: sk_test}`, lines(unknownField("PipesEnvironment", "spec.apiKey"))),

		Entry("baseURL: empty", `{baseURL: ""}`, lines(`baseURL: `+tooShort("baseURL"))),
		Entry("baseURL: too long", `{baseURL: "https://LONGLONG"}`, lines(`baseURL: Too long: may not be more than 512 bytes`)),
		Entry("baseURL: a number", `{baseURL: 1}`, lines(`baseURL: Invalid value: "integer": spec.baseURL in body must be of type string: "integer"`)),
		Entry("baseURL: another scheme", `{baseURL: ftp://api.workos.com}`, lines(`baseURL: Invalid value: "ftp://api.workos.com": `+baseURLRule)),
		Entry("baseURL: a file", `{baseURL: "file:///etc/passwd"}`, lines(`baseURL: Invalid value: "file:///etc/passwd": `+baseURLRule)),
		Entry("baseURL: no scheme", `{baseURL: api.workos.com}`, lines(`baseURL: Invalid value: "api.workos.com": `+baseURLRule)),
		Entry("baseURL: no scheme but slashes", `{baseURL: //api.workos.com}`, lines(`baseURL: Invalid value: "//api.workos.com": `+baseURLRule)),
		Entry("baseURL: no host", `{baseURL: "https://"}`, lines(`baseURL: Invalid value: "https://": `+baseURLRule)),
		Entry("baseURL: no host but a port", `{baseURL: "https://:443"}`, lines(`baseURL: Invalid value: "https://:443": `+baseURLRule)),
		Entry("baseURL: no host but a path", `{baseURL: "https:///a"}`, lines(`baseURL: Invalid value: "https:///a": `+baseURLRule)),
		Entry("baseURL: a user", `{baseURL: https://user:secret@api.workos.com}`, lines(
			`baseURL: Invalid value: "https://user:secret@api.workos.com": `+baseURLRule)),
		Entry("baseURL: a host that looks like another", `{baseURL: https://api.workos.com@example.com}`, lines(
			`baseURL: Invalid value: "https://api.workos.com@example.com": `+baseURLRule)),
		Entry("baseURL: a query", `{baseURL: "https://api.workos.com?a=b"}`, lines(`baseURL: Invalid value: "https://api.workos.com?a=b": `+baseURLRule)),
		Entry("baseURL: an empty query", `{baseURL: "https://api.workos.com?"}`, lines(`baseURL: Invalid value: "https://api.workos.com?": `+baseURLRule)),
		Entry("baseURL: a fragment", `{baseURL: "https://api.workos.com#a"}`, lines(`baseURL: Invalid value: "https://api.workos.com#a": `+baseURLRule)),
		Entry("baseURL: a space before", `{baseURL: " https://api.workos.com"}`, lines(`baseURL: Invalid value: " https://api.workos.com": `+baseURLRule)),
		Entry("baseURL: a space behind", `{baseURL: "https://api.workos.com "}`, lines(`baseURL: Invalid value: "https://api.workos.com ": `+baseURLRule)),
		Entry("baseURL: a space in the host", `{baseURL: https://api workos.com}`, lines(`baseURL: Invalid value: "https://api workos.com": `+baseURLRule)),
		Entry("baseURL: a space in the path", `{baseURL: https://api.workos.com/a b}`, lines(`baseURL: Invalid value: "https://api.workos.com/a b": `+baseURLRule)),
		Entry("baseURL: a line break", `{baseURL: "https://api.workos.com\n"}`, lines(`baseURL: Invalid value: "https://api.workos.com\n": `+baseURLRule)),
		Entry("baseURL: a letter that looks like another", `{baseURL: "https://\u0430pi.workos.com"}`, lines(
			"baseURL: Invalid value: \"https://\u0430pi.workos.com\": "+baseURLRule)),

		Entry("requestsPerMinute: none", `{requestsPerMinute: 0}`, lines(
			`requestsPerMinute: Invalid value: 0: spec.requestsPerMinute in body should be greater than or equal to 1`)),
		Entry("requestsPerMinute: fewer", `{requestsPerMinute: -1}`, lines(
			`requestsPerMinute: Invalid value: -1: spec.requestsPerMinute in body should be greater than or equal to 1`)),
		Entry("requestsPerMinute: too many", `{requestsPerMinute: 60001}`, lines(
			`requestsPerMinute: Invalid value: 60001: spec.requestsPerMinute in body should be less than or equal to 60000`)),
		Entry("requestsPerMinute: a text", `{requestsPerMinute: "100"}`, lines(
			`requestsPerMinute: Invalid value: "string": spec.requestsPerMinute in body must be of type integer: "string"`)),
		Entry("requestsPerMinute: a fraction", `{requestsPerMinute: 1.5}`, lines(
			`requestsPerMinute: Invalid value: "float64": spec.requestsPerMinute in body must be of type int32: "float64"`,
			`<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.requestsPerMinute`)),

		Entry("grants: an empty list", `{grants: []}`, lines(`grants: `+atLeastOne("grants"))),
		Entry("grants: a text", `{grants: all}`, lines(`grants: Invalid value: "string": spec.grants in body must be of type array: "string"`)),
		Entry("grants: too many", `{grants: [`+repeated(65, `{namespaces: {names: [a]}}`)+`]}`, lines(`grants: Too many: 65: must have at most 64 items`)),
		Entry("grants: an empty one", `{grants: [{}]}`, lines(`grants[0].namespaces: Required value`)),
		Entry("grants: one for no namespace", `{grants: [{slugs: [github]}]}`, lines(`grants[0].namespaces: Required value`)),
		Entry("grants: the second for no namespace", `{grants: [{namespaces: {names: [a]}}, {slugs: [a]}]}`, lines(`grants[1].namespaces: Required value`)),
		Entry("grants: an unknown field", `{grants: [{namespaces: {names: [a]}, users: [a]}]}`, lines(
			unknownField("PipesEnvironment", "spec.grants[0].users"))),

		Entry("namespaces: neither names nor selector", `{grants: [{namespaces: {}}]}`, lines(
			`grants[0].namespaces: Invalid value: 0: spec.grants[0].namespaces in body should have at least 1 properties`,
			`grants[0].namespaces: Invalid value: `+namespaceRule)),
		Entry("namespaces: a list", `{grants: [{namespaces: [a]}]}`, lines(
			`grants[0].namespaces: Invalid value: "array": spec.grants[0].namespaces in body must be of type object: "array"`)),
		Entry("names: an empty list", `{grants: [{namespaces: {names: []}}]}`, lines(`grants[0].namespaces.names: `+atLeastOne("grants[0].namespaces.names"))),
		Entry("names: a text", `{grants: [{namespaces: {names: a}}]}`, lines(
			`grants[0].namespaces.names: Invalid value: "string": spec.grants[0].namespaces.names in body must be of type array: "string"`)),
		Entry("names: too many", `{grants: [{namespaces: {names: [`+counted("n", 257)+`]}}]}`, lines(
			`grants[0].namespaces.names: Too many: 257: must have at most 256 items`)),
		Entry("names: an empty one", `{grants: [{namespaces: {names: [""]}}]}`, lines(
			`grants[0].namespaces.names[0]: `+tooShort("grants[0].namespaces.names[0]"))),
		Entry("names: too long a one", `{grants: [{namespaces: {names: [LONG]}}]}`, lines(
			`grants[0].namespaces.names[0]: Too long: may not be more than 63 bytes`)),
		Entry("names: a pattern", `{grants: [{namespaces: {names: [a, team-*]}}]}`, lines(`grants[0].namespaces.names[1]: Invalid value: "team-*": `+nameRule)),
		Entry("names: two stars", `{grants: [{namespaces: {names: ["**"]}}]}`, lines(`grants[0].namespaces.names[0]: Invalid value: "**": `+nameRule)),
		Entry("names: in capitals", `{grants: [{namespaces: {names: [Agents]}}]}`, lines(`grants[0].namespaces.names[0]: Invalid value: "Agents": `+nameRule)),
		Entry("names: with a dot", `{grants: [{namespaces: {names: [a.b]}}]}`, lines(`grants[0].namespaces.names[0]: Invalid value: "a.b": `+nameRule)),
		Entry("names: a way up", `{grants: [{namespaces: {names: [..]}}]}`, lines(`grants[0].namespaces.names[0]: Invalid value: "..": `+nameRule)),
		Entry("names: one twice", `{grants: [{namespaces: {names: [a, b, a]}}]}`, lines(`grants[0].namespaces.names[2]: Duplicate value: "a"`)),
		Entry("names: a number", `{grants: [{namespaces: {names: [1]}}]}`, lines(
			`grants[0].namespaces.names[0]: Invalid value: "integer": spec.grants[0].namespaces.names[0] in body must be of type string: "integer"`)),

		Entry("selector: empty", `{grants: [{namespaces: {selector: {}}}]}`, lines(`grants[0].namespaces.selector: Invalid value: `+selectorRule)),
		Entry("selector: empty labels", `{grants: [{namespaces: {selector: {matchLabels: {}}}}]}`, lines(
			`grants[0].namespaces.selector: Invalid value: `+selectorRule)),
		Entry("selector: empty expressions", `{grants: [{namespaces: {selector: {matchExpressions: []}}}]}`, lines(
			`grants[0].namespaces.selector: Invalid value: `+selectorRule)),
		Entry("selector: empty, beside names", `{grants: [{namespaces: {names: [a], selector: {}}}]}`, lines(
			`grants[0].namespaces.selector: Invalid value: `+selectorRule)),
		Entry("selector: an expression without an operator", `{grants: [{namespaces: {selector: {matchExpressions: [{key: a}]}}}]}`, lines(
			`grants[0].namespaces.selector.matchExpressions[0].operator: Required value`)),
		Entry("selector: labels as such", `{grants: [{namespaces: {selector: {team: ai}}}]}`, lines(
			unknownField("PipesEnvironment", "spec.grants[0].namespaces.selector.team"))),

		Entry("slugs: an empty list", `{grants: [{namespaces: {names: [a]}, slugs: []}]}`, lines(`grants[0].slugs: `+atLeastOne("grants[0].slugs"),
			`grants[0].slugs: Required value: `+listRequired["slugs"])),
		Entry("slugs: too many", `{grants: [{namespaces: {names: [a]}, slugs: [`+counted("s", 129)+`]}]}`, lines(
			`grants[0].slugs: Too many: 129: must have at most 128 items`)),
		Entry("slugs: an empty one", `{grants: [{namespaces: {names: [a]}, slugs: [""]}]}`, lines(`grants[0].slugs[0]: `+tooShort("grants[0].slugs[0]"))),
		Entry("slugs: too long a one", `{grants: [{namespaces: {names: [a]}, slugs: [LONG]}]}`, lines(`grants[0].slugs[0]: Too long: may not be more than 128 bytes`)),
		Entry("slugs: a path", `{grants: [{namespaces: {names: [a]}, slugs: [a/b]}]}`, lines(`grants[0].slugs[0]: Invalid value: "a/b": `+slugsRule)),
		Entry("slugs: a way up", `{grants: [{namespaces: {names: [a]}, slugs: [..]}]}`, lines(`grants[0].slugs[0]: Invalid value: "..": `+slugsRule)),
		Entry("slugs: a star beside others", `{grants: [{namespaces: {names: [a]}, slugs: [a, "*"]}]}`, lines(
			`grants[0].slugs: Invalid value: '*' stands for any slug and must be alone in slugs`)),
		Entry("slugs: a pattern", `{grants: [{namespaces: {names: [a]}, slugs: [git*]}]}`, lines(`grants[0].slugs[0]: Invalid value: "git*": `+slugsRule)),
		Entry("slugs: two stars", `{grants: [{namespaces: {names: [a]}, slugs: ["**"]}]}`, lines(`grants[0].slugs[0]: Invalid value: "**": `+slugsRule)),
		Entry("slugs: one twice", `{grants: [{namespaces: {names: [a]}, slugs: [a, a]}]}`, lines(`grants[0].slugs[1]: Duplicate value: "a"`)),
		Entry("slugs: a text", `{grants: [{namespaces: {names: [a]}, slugs: a}]}`, lines(
			`grants[0].slugs: Invalid value: "string": spec.grants[0].slugs in body must be of type array: "string"`)),

		Entry("organizationIDs: an empty list", `{grants: [{namespaces: {names: [a]}, organizationIDs: []}]}`, lines(
			`grants[0].organizationIDs: `+atLeastOne("grants[0].organizationIDs"),
			`grants[0].organizationIDs: Required value: `+listRequired["organizationIDs"])),
		Entry("organizationIDs: too many", `{grants: [{namespaces: {names: [a]}, organizationIDs: [`+counted("o", 1025)+`]}]}`, lines(
			`grants[0].organizationIDs: Too many: 1025: must have at most 1024 items`)),
		Entry("organizationIDs: an empty one", `{grants: [{namespaces: {names: [a]}, organizationIDs: [""]}]}`, lines(
			`grants[0].organizationIDs[0]: `+tooShort("grants[0].organizationIDs[0]"))),
		Entry("organizationIDs: too long a one", `{grants: [{namespaces: {names: [a]}, organizationIDs: [LONG]}]}`, lines(
			`grants[0].organizationIDs[0]: Too long: may not be more than 128 bytes`)),
		Entry("organizationIDs: a space", `{grants: [{namespaces: {names: [a]}, organizationIDs: [org_1, a b]}]}`, lines(
			`grants[0].organizationIDs[1]: Invalid value: "a b": `+idsRule("organizationIDs"))),
		Entry("organizationIDs: a star beside others", `{grants: [{namespaces: {names: [a]}, organizationIDs: ["*", org_1]}]}`, lines(
			`grants[0].organizationIDs: Invalid value: '*' stands for any organization and none, and must be alone in organizationIDs`)),
		Entry("organizationIDs: a star beside none", `{grants: [{namespaces: {names: [a]}, organizationIDs: [none, "*"]}]}`, lines(
			`grants[0].organizationIDs: Invalid value: '*' stands for any organization and none, and must be alone in organizationIDs`)),
		Entry("organizationIDs: a pattern", `{grants: [{namespaces: {names: [a]}, organizationIDs: [org_*]}]}`, lines(
			`grants[0].organizationIDs[0]: Invalid value: "org_*": `+idsRule("organizationIDs"))),
		Entry("organizationIDs: one twice", `{grants: [{namespaces: {names: [a]}, organizationIDs: [a, a]}]}`, lines(
			`grants[0].organizationIDs[1]: Duplicate value: "a"`)),

		Entry("userIDs: an empty list", `{grants: [{namespaces: {names: [a]}, userIDs: []}]}`, lines(`grants[0].userIDs: `+atLeastOne("grants[0].userIDs"),
			`grants[0].userIDs: Required value: `+listRequired["userIDs"])),
		Entry("userIDs: too many", `{grants: [{namespaces: {names: [a]}, userIDs: [`+counted("u", 1025)+`]}]}`, lines(
			`grants[0].userIDs: Too many: 1025: must have at most 1024 items`)),
		Entry("userIDs: an empty one", `{grants: [{namespaces: {names: [a]}, userIDs: [""]}]}`, lines(`grants[0].userIDs[0]: `+tooShort("grants[0].userIDs[0]"))),
		Entry("userIDs: too long a one", `{grants: [{namespaces: {names: [a]}, userIDs: [LONG]}]}`, lines(
			`grants[0].userIDs[0]: Too long: may not be more than 128 bytes`)),
		Entry("userIDs: a star beside others", `{grants: [{namespaces: {names: [a]}, userIDs: [user_1, "*"]}]}`, lines(
			`grants[0].userIDs: Invalid value: '*' stands for any user and must be alone in userIDs`)),
		Entry("userIDs: a pattern", `{grants: [{namespaces: {names: [a]}, userIDs: [user_*]}]}`, lines(
			`grants[0].userIDs[0]: Invalid value: "user_*": `+idsRule("userIDs"))),
		Entry("userIDs: a way up", `{grants: [{namespaces: {names: [a]}, userIDs: [..]}]}`, lines(
			`grants[0].userIDs[0]: Invalid value: "..": `+idsRule("userIDs"))),
		Entry("userIDs: an umlaut", `{grants: [{namespaces: {names: [a]}, userIDs: [ü]}]}`, lines(
			`grants[0].userIDs[0]: Invalid value: "ü": `+idsRule("userIDs"))),
		Entry("userIDs: a line break", `{grants: [{namespaces: {names: [a]}, userIDs: ["a\n"]}]}`, lines(
			`grants[0].userIDs[0]: Invalid value: "a\n": `+idsRule("userIDs"))),
		Entry("userIDs: one twice", `{grants: [{namespaces: {names: [a]}, userIDs: [a, a]}]}`, lines(`grants[0].userIDs[1]: Duplicate value: "a"`)),

		Entry("an unknown field", `{allowedNamespaces: [a]}`, lines(unknownField("PipesEnvironment", "spec.allowedNamespaces"))),
	)

	DescribeTable("can have", func(ctx context.Context, before, changes string) {
		Expect(tryToUpdate(ctx, "PipesEnvironment", withFullGrants(before), withFullGrants(changes))).To(Succeed())
	},
		Entry("another key", leastEnvironment, `{apiKeySecretRef: {name: other, key: other}}`),
		Entry("another base URL", leastEnvironment, `{baseURL: https://api.workos-test.com}`),
		Entry("another budget", leastEnvironment, `{requestsPerMinute: 100}`),
		Entry("grants added", leastEnvironment, `{grants: [{namespaces: {names: [a]}}]}`),
		Entry("grants removed", `{apiKeySecretRef: {name: a, key: b}, grants: [{namespaces: {names: [a]}}]}`, `{grants: null}`),
	)

	DescribeTable("cannot have", func(ctx context.Context, changes string, want []string) {
		Expect(words(tryToUpdate(ctx, "PipesEnvironment", leastEnvironment, withFullGrants(changes)))).To(ConsistOf(want))
	},
		Entry("its key removed", `{apiKeySecretRef: null}`, lines(`spec.apiKeySecretRef: Required value`)),
		Entry("its base URL made wrong", `{baseURL: ftp://a}`, lines(`spec.baseURL: Invalid value: "ftp://a": `+baseURLRule)),
		Entry("a grant made wrong", `{grants: [{namespaces: {selector: {}}}]}`, lines(
			`spec.grants[0].namespaces.selector: Invalid value: `+selectorRule)),
	)
})

func repeated(n int, text string) string {
	return strings.Repeat(text+", ", n-1) + text
}

// counted returns n different items of a list.
func counted(prefix string, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return strings.Join(list, ", ")
}
