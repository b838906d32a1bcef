package v1alpha1_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	slugRule         = `slug must be letters, digits, '-' and '_', and begin with a letter or digit, for example google-drive`
	userRule         = `userID must be letters, digits, '-' and '_', for example user_01EHZNVPK3SFK441A1RGBFSHRT`
	organizationRule = `organizationID must be letters, digits, '-' and '_', for example org_01EHZNVPK3SFK441A1RGBFSHRT`
	dnsNameRule      = ` must be a DNS name: lowercase letters, digits, '-' and '.', and a letter or digit at both ends of each part`
	dnsLabelRule     = ` must be a DNS label: lowercase letters, digits and '-', and a letter or digit at both ends`
	renewRule        = `renewBefore must be a duration between 10s and 24h, such as 90s, 10m or 1h30m`
	refreshRule      = `refreshInterval must be a duration between 1m and 24h, such as 5m, 1h or 1h30m`
	basicAuthRule    = `a Secret of type kubernetes.io/basic-auth needs data with the key username or password`
	dockerRule       = `a Secret of type kubernetes.io/dockerconfigjson needs data with the key .dockerconfigjson`
	dataKeyRule      = `keys of data must be up to 253 letters, digits, '-', '_' and '.', and not be '.' or begin with '..'`
	labelValueRule   = `values of labels must be letters, digits, '-', '_' and '.', with a letter or digit at both ends`
	secretTypes      = `supported values: "Opaque", "kubernetes.io/basic-auth", "kubernetes.io/dockerconfigjson"`
	policies         = `supported values: "Clear", "Delete", "Retain"`
)

func keyRule(field string) string {
	return "keys of " + field + " must be up to 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends, and optionally a DNS name and '/' before them"
}

func domainRule(field string) string {
	return "keys of " + field + " in the domains kubernetes.io, k8s.io, x-k8s.io and pipes.workos.com are reserved: use another domain"
}

// entries returns an Entry for each spec, with the spec as its name.
func entries(specs ...string) []TableEntry {
	list := make([]TableEntry, 0, len(specs))
	for _, spec := range specs {
		list = append(list, Entry(spec, spec))
	}
	return list
}

var _ = Describe("A PipesToken", func() {
	DescribeTable("is created with", func(ctx context.Context, changes string) {
		Expect(tryToCreate(ctx, "PipesToken", leastToken, changes)).To(Succeed())
	}, entries(
		`{}`,
		`{slug: A, userID: "1", organizationID: _}`,
		`{slug: google-drive_2, userID: user_01EHZNVPK3SFK441A1RGBFSHRT, organizationID: org_01EHZNVPK3SFK441A1RGBFSHRT}`,
		`{slug: `+strings.Repeat("a", 128)+`, userID: `+strings.Repeat("b", 128)+`, organizationID: `+strings.Repeat("c", 128)+`}`,
		`{userID: none, organizationID: None}`, `{organizationID: none_1}`,
		`{environmentRef: {name: default}}`,
		`{environmentRef: {name: a.b-c.d, namespace: pipes-system}}`,
		`{environmentRef: {name: `+strings.Repeat("a", 253)+`, namespace: `+strings.Repeat("b", 63)+`}}`,
		`{secretName: a}`, `{secretName: a-1.b}`,
		`{renewBefore: 10s}`, `{renewBefore: 10m}`, `{renewBefore: 1h30m}`, `{renewBefore: 1.5h}`, `{renewBefore: 10000ms}`,
		`{renewBefore: 24h}`, `{renewBefore: 86400s}`, `{renewBefore: 0h10s}`,
		`{refreshInterval: 1m}`, `{refreshInterval: 60s}`, `{refreshInterval: 24h}`,
		`{inactivePolicy: Clear}`, `{inactivePolicy: Delete}`, `{inactivePolicy: Retain}`,
		`{suspend: true}`, `{suspend: false}`, `{suspend: null}`,
		`{secretTemplate: {}}`,
		`{secretTemplate: {type: Opaque}}`,
		`{secretTemplate: {type: kubernetes.io/basic-auth, data: {username: x}}}`,
		`{secretTemplate: {type: kubernetes.io/basic-auth, data: {password: "{{ .AccessToken }}", other: x}}}`,
		`{secretTemplate: {type: kubernetes.io/dockerconfigjson, data: {.dockerconfigjson: x}}}`,
		`{secretTemplate: {labels: {a: b, A.b_c-1: "", a: A.b_c-1}}}`,
		`{secretTemplate: {labels: {example.com/x: v, workos.com/x: v, mykubernetes.io/x: v, myk8s.io/x: v, myx-k8s.io/x: v, x-k8s.io.example.com/x: v, kubernetes.io.example.com/x: v, kubernetes.io: v}}}`,
		`{secretTemplate: {annotations: {example.com/x: "any {{ text }}\n", mykubernetes.io/x: "", mypipes.workos.com/x: v}}}`,
		`{secretTemplate: {labels: {`+strings.Repeat("a", 253)+`/`+strings.Repeat("b", 63)+`: `+strings.Repeat("c", 63)+`}}}`,
		`{secretTemplate: {labels: {`+numbered(16)+`}, annotations: {`+numbered(16)+`}, data: {`+numbered(16)+`}}}`,
		`{secretTemplate: {annotations: {a: `+strings.Repeat("a", 4096)+`}}}`,
		`{secretTemplate: {data: {.netrc: x, A_b-c.1: x, a..b: x, `+strings.Repeat("a", 253)+`: `+strings.Repeat("x", 8192)+`}}}`,
	))

	DescribeTable("is refused with", func(ctx context.Context, changes string, want []string) {
		Expect(words(tryToCreate(ctx, "PipesToken", leastToken, changes))).To(ConsistOf(want))
	},
		Entry("no slug", `{slug: null}`, lines(`spec.slug: Required value`)),
		Entry("an empty slug", `{slug: ""}`, lines(`spec.slug: Invalid value: "": spec.slug in body should be at least 1 chars long`)),
		Entry("a slug that is too long", `{slug: LONG}`, lines(`spec.slug: Too long: may not be more than 128 bytes`)),
		Entry("a path as slug", `{slug: a/b}`, lines(`spec.slug: Invalid value: "a/b": `+slugRule)),
		Entry("a way up as slug", `{slug: ..}`, lines(`spec.slug: Invalid value: "..": `+slugRule)),
		Entry("an encoded way up as slug", `{slug: "%2e%2e"}`, lines(`spec.slug: Invalid value: "%2e%2e": `+slugRule)),
		Entry("a slug that begins with -", `{slug: -a}`, lines(`spec.slug: Invalid value: "-a": `+slugRule)),
		Entry("a slug that begins with _", `{slug: _a}`, lines(`spec.slug: Invalid value: "_a": `+slugRule)),
		Entry("a slug that ends in a line break", `{slug: "a\n"}`, lines(`spec.slug: Invalid value: "a\n": `+slugRule)),
		Entry("a slug with an umlaut", `{slug: ü}`, lines(`spec.slug: Invalid value: "ü": `+slugRule)),
		Entry("a number as slug", `{slug: 1}`, lines(`spec.slug: Invalid value: "integer": spec.slug in body must be of type string: "integer"`)),
		Entry("a list as slug", `{slug: [github]}`, lines(`spec.slug: Invalid value: "array": spec.slug in body must be of type string: "array"`)),

		Entry("no user", `{userID: null}`, lines(`spec.userID: Required value`)),
		Entry("an empty user", `{userID: ""}`, lines(`spec.userID: Invalid value: "": spec.userID in body should be at least 1 chars long`)),
		Entry("a user that is too long", `{userID: LONG}`, lines(`spec.userID: Too long: may not be more than 128 bytes`)),
		Entry("a user with a space", `{userID: a b}`, lines(`spec.userID: Invalid value: "a b": `+userRule)),
		Entry("an address as user", `{userID: alice@example.com}`, lines(`spec.userID: Invalid value: "alice@example.com": `+userRule)),
		Entry("a way up as user", `{userID: ..}`, lines(`spec.userID: Invalid value: "..": `+userRule)),
		Entry("a truth as user", `{userID: true}`, lines(`spec.userID: Invalid value: "boolean": spec.userID in body must be of type string: "boolean"`)),

		Entry("an empty organization", `{organizationID: ""}`, lines(
			`spec.organizationID: Invalid value: "": spec.organizationID in body should be at least 1 chars long`)),
		Entry("an organization that is too long", `{organizationID: LONG}`, lines(`spec.organizationID: Too long: may not be more than 128 bytes`)),
		Entry("a path as organization", `{organizationID: org/1}`, lines(`spec.organizationID: Invalid value: "org/1": `+organizationRule)),
		Entry("a way up as organization", `{organizationID: ..}`, lines(`spec.organizationID: Invalid value: "..": `+organizationRule)),
		Entry("none as organization", `{organizationID: none}`, lines(
			`spec.organizationID: Invalid value: "none": organizationID must not be 'none': leave it out for a connection without an organization`)),
		Entry("a number as organization", `{organizationID: 7}`, lines(
			`spec.organizationID: Invalid value: "integer": spec.organizationID in body must be of type string: "integer"`)),

		Entry("an empty environment", `{environmentRef: {}}`, lines(`spec.environmentRef.name: Required value`)),
		Entry("a text as environment", `{environmentRef: default}`, lines(
			`spec.environmentRef: Invalid value: "string": spec.environmentRef in body must be of type object: "string"`)),
		Entry("an environment of an empty name", `{environmentRef: {name: ""}}`, lines(
			`spec.environmentRef.name: Invalid value: "": spec.environmentRef.name in body should be at least 1 chars long`)),
		Entry("an environment of a name that is too long", `{environmentRef: {name: LONG}}`, lines(
			`spec.environmentRef.name: Too long: may not be more than 253 bytes`)),
		Entry("an environment of a name in capitals", `{environmentRef: {name: Default}}`, lines(
			`spec.environmentRef.name: Invalid value: "Default": name`+dnsNameRule)),
		Entry("a way up as environment", `{environmentRef: {name: ..}}`, lines(`spec.environmentRef.name: Invalid value: "..": name`+dnsNameRule)),
		Entry("a path as environment", `{environmentRef: {name: pipes-system/default}}`, lines(
			`spec.environmentRef.name: Invalid value: "pipes-system/default": name`+dnsNameRule)),
		Entry("an environment in an empty namespace", `{environmentRef: {name: a, namespace: ""}}`, lines(
			`spec.environmentRef.namespace: Invalid value: "": spec.environmentRef.namespace in body should be at least 1 chars long`)),
		Entry("an environment in a namespace that is too long", `{environmentRef: {name: a, namespace: LONG}}`, lines(
			`spec.environmentRef.namespace: Too long: may not be more than 63 bytes`)),
		Entry("an environment in a namespace with a dot", `{environmentRef: {name: a, namespace: a.b}}`, lines(
			`spec.environmentRef.namespace: Invalid value: "a.b": namespace`+dnsLabelRule)),
		Entry("a way up as namespace", `{environmentRef: {name: a, namespace: ..}}`, lines(
			`spec.environmentRef.namespace: Invalid value: "..": namespace`+dnsLabelRule)),
		Entry("a number as namespace", `{environmentRef: {name: a, namespace: 1}}`, lines(
			`spec.environmentRef.namespace: Invalid value: "integer": spec.environmentRef.namespace in body must be of type string: "integer"`)),

		Entry("an empty Secret name", `{secretName: ""}`, lines(`spec.secretName: Invalid value: "": spec.secretName in body should be at least 1 chars long`)),
		Entry("a Secret name that is too long", `{secretName: LONG}`, lines(`spec.secretName: Too long: may not be more than 253 bytes`)),
		Entry("a Secret name that cannot be one", `{secretName: A_b}`, lines(`spec.secretName: Invalid value: "A_b": secretName`+dnsNameRule)),
		Entry("a Secret name with an empty part", `{secretName: a..b}`, lines(`spec.secretName: Invalid value: "a..b": secretName`+dnsNameRule)),
		Entry("a way up as Secret name", `{secretName: ..}`, lines(`spec.secretName: Invalid value: "..": secretName`+dnsNameRule)),
		Entry("a number as Secret name", `{secretName: 3}`, lines(
			`spec.secretName: Invalid value: "integer": spec.secretName in body must be of type string: "integer"`)),

		Entry("renewBefore: empty", `{renewBefore: ""}`, lines(`spec.renewBefore: Invalid value: "": `+renewRule)),
		Entry("renewBefore: no unit", `{renewBefore: "10"}`, lines(`spec.renewBefore: Invalid value: "10": `+renewRule)),
		Entry("renewBefore: zero", `{renewBefore: "0"}`, lines(`spec.renewBefore: Invalid value: "0": `+renewRule)),
		Entry("renewBefore: a number", `{renewBefore: 10}`, lines(
			`spec.renewBefore: Invalid value: "integer": spec.renewBefore in body must be of type string: "integer"`)),
		Entry("renewBefore: no duration", `{renewBefore: abc}`, lines(`spec.renewBefore: Invalid value: "abc": `+renewRule)),
		Entry("renewBefore: negative", `{renewBefore: -5m}`, lines(`spec.renewBefore: Invalid value: "-5m": `+renewRule)),
		Entry("renewBefore: days", `{renewBefore: 1d}`, lines(`spec.renewBefore: Invalid value: "1d": `+renewRule)),
		Entry("renewBefore: with a space", `{renewBefore: 1h 5m}`, lines(`spec.renewBefore: Invalid value: "1h 5m": `+renewRule)),
		Entry("renewBefore: in capitals", `{renewBefore: 1H}`, lines(`spec.renewBefore: Invalid value: "1H": `+renewRule)),
		Entry("renewBefore: too short", `{renewBefore: 9s}`, lines(`spec.renewBefore: Invalid value: "9s": `+renewRule)),
		Entry("renewBefore: a millisecond too short", `{renewBefore: 9999ms}`, lines(`spec.renewBefore: Invalid value: "9999ms": `+renewRule)),
		Entry("renewBefore: too long", `{renewBefore: 24h1s}`, lines(`spec.renewBefore: Invalid value: "24h1s": `+renewRule)),
		Entry("renewBefore: beyond what a duration can be", `{renewBefore: 9999999999999999h}`, lines(
			`spec.renewBefore: Invalid value: "9999999999999999h": `+renewRule)),
		Entry("renewBefore: a long text", `{renewBefore: LONG}`, lines(`spec.renewBefore: Too long: may not be more than 32 bytes`)),

		Entry("refreshInterval: empty", `{refreshInterval: ""}`, lines(`spec.refreshInterval: Invalid value: "": `+refreshRule)),
		Entry("refreshInterval: no unit", `{refreshInterval: "10"}`, lines(`spec.refreshInterval: Invalid value: "10": `+refreshRule)),
		Entry("refreshInterval: no duration", `{refreshInterval: abc}`, lines(`spec.refreshInterval: Invalid value: "abc": `+refreshRule)),
		Entry("refreshInterval: negative", `{refreshInterval: -5m}`, lines(`spec.refreshInterval: Invalid value: "-5m": `+refreshRule)),
		Entry("refreshInterval: days", `{refreshInterval: 1d}`, lines(`spec.refreshInterval: Invalid value: "1d": `+refreshRule)),
		Entry("refreshInterval: too short", `{refreshInterval: 59s}`, lines(`spec.refreshInterval: Invalid value: "59s": `+refreshRule)),
		Entry("refreshInterval: too long", `{refreshInterval: 25h}`, lines(`spec.refreshInterval: Invalid value: "25h": `+refreshRule)),
		Entry("refreshInterval: a number", `{refreshInterval: 60}`, lines(
			`spec.refreshInterval: Invalid value: "integer": spec.refreshInterval in body must be of type string: "integer"`)),
		Entry("refreshInterval: a long text", `{refreshInterval: LONG}`, lines(`spec.refreshInterval: Too long: may not be more than 32 bytes`)),

		Entry("an empty policy", `{inactivePolicy: ""}`, lines(`spec.inactivePolicy: Unsupported value: "": `+policies)),
		Entry("a policy in another case", `{inactivePolicy: clear}`, lines(`spec.inactivePolicy: Unsupported value: "clear": `+policies)),
		Entry("a policy that there is not", `{inactivePolicy: Keep}`, lines(`spec.inactivePolicy: Unsupported value: "Keep": `+policies)),
		Entry("a number as policy", `{inactivePolicy: 1}`, lines(
			`spec.inactivePolicy: Invalid value: "integer": spec.inactivePolicy in body must be of type string: "integer"`,
			`spec.inactivePolicy: Unsupported value: 1: `+policies)),
		Entry("a text as suspend", `{suspend: "yes"}`, lines(`spec.suspend: Invalid value: "string": spec.suspend in body must be of type boolean: "string"`)),
		Entry("a number as suspend", `{suspend: 1}`, lines(`spec.suspend: Invalid value: "integer": spec.suspend in body must be of type boolean: "integer"`)),

		Entry("an unknown field", `{slugs: [github]}`, lines(unknownField("PipesToken", "spec.slugs"))),
		Entry("an unknown field in environmentRef", `{environmentRef: {name: a, kind: b}}`, lines(unknownField("PipesToken", "spec.environmentRef.kind"))),
		Entry("an unknown field in secretTemplate", `{secretTemplate: {stringData: {a: b}}}`, lines(
			unknownField("PipesToken", "spec.secretTemplate.stringData"))),
		Entry("several mistakes, all of which are told", `{slug: a/b, userID: "", secretName: A}`, lines(
			`spec.slug: Invalid value: "a/b": `+slugRule,
			`spec.userID: Invalid value: "": spec.userID in body should be at least 1 chars long`,
			`spec.secretName: Invalid value: "A": secretName`+dnsNameRule)),
	)

	DescribeTable("is refused with a secretTemplate that has", func(ctx context.Context, template string, want []string) {
		for i, line := range want {
			if !strings.HasPrefix(line, "PipesToken") {
				want[i] = "spec.secretTemplate" + line
			}
		}
		Expect(words(tryToCreate(ctx, "PipesToken", leastToken, `{secretTemplate: `+template+`}`))).To(ConsistOf(want))
	},
		Entry("the form of a text", `x`, lines(`: Invalid value: "string": spec.secretTemplate in body must be of type object: "string"`)),
		Entry("an empty type", `{type: ""}`, lines(`.type: Unsupported value: "": `+secretTypes)),
		Entry("a type that is not for tokens", `{type: kubernetes.io/tls}`, lines(`.type: Unsupported value: "kubernetes.io/tls": `+secretTypes)),
		Entry("a type in another case", `{type: opaque}`, lines(`.type: Unsupported value: "opaque": `+secretTypes)),
		Entry("type basic-auth, no data", `{type: kubernetes.io/basic-auth}`, lines(`.data: Invalid value: `+basicAuthRule)),
		Entry("type basic-auth, other data", `{type: kubernetes.io/basic-auth, data: {token: x}}`, lines(`.data: Invalid value: `+basicAuthRule)),
		Entry("type dockerconfigjson, no data", `{type: kubernetes.io/dockerconfigjson}`, lines(`.data: Invalid value: `+dockerRule)),
		Entry("type dockerconfigjson, other data", `{type: kubernetes.io/dockerconfigjson, data: {config.json: x}}`, lines(
			`.data: Invalid value: `+dockerRule)),

		Entry("empty labels", `{labels: {}}`, lines(`.labels: Invalid value: 0: spec.secretTemplate.labels in body should have at least 1 properties`)),
		Entry("a text as labels", `{labels: x}`, lines(`.labels: Invalid value: "string": spec.secretTemplate.labels in body must be of type object: "string"`)),
		Entry("17 labels", `{labels: {`+numbered(17)+`}}`, lines(`.labels: Too many: 17: must have at most 16 items`)),
		Entry("a label of kubernetes.io", `{labels: {kubernetes.io/x: v}}`, lines(`.labels: Invalid value: `+domainRule("labels"))),
		Entry("a label of app.kubernetes.io", `{labels: {app.kubernetes.io/name: v}}`, lines(`.labels: Invalid value: `+domainRule("labels"))),
		Entry("the label that marks our Secrets", `{labels: {app.kubernetes.io/managed-by: v}}`, lines(`.labels: Invalid value: `+domainRule("labels"))),
		Entry("a label of k8s.io", `{labels: {k8s.io/x: v}}`, lines(`.labels: Invalid value: `+domainRule("labels"))),
		Entry("a label of x.k8s.io", `{labels: {x.k8s.io/x: v}}`, lines(`.labels: Invalid value: `+domainRule("labels"))),
		Entry("a label of x-k8s.io", `{labels: {x-k8s.io/x: v}}`, lines(`.labels: Invalid value: `+domainRule("labels"))),
		Entry("a label of cluster.x-k8s.io", `{labels: {cluster.x-k8s.io/cluster-name: v}}`, lines(`.labels: Invalid value: `+domainRule("labels"))),
		Entry("a label of pipes.workos.com", `{labels: {pipes.workos.com/token: v}}`, lines(`.labels: Invalid value: `+domainRule("labels"))),
		Entry("a label of a domain below it", `{labels: {a.pipes.workos.com/x: v}}`, lines(`.labels: Invalid value: `+domainRule("labels"))),
		Entry("a reserved label among others", `{labels: {a: b, k8s.io/x: v, c: d}}`, lines(`.labels: Invalid value: `+domainRule("labels"))),
		Entry("a label's key: empty", `{labels: {"": v}}`, lines(`.labels: Invalid value: `+keyRule("labels"))),
		Entry("a label's key: a space", `{labels: {a b: v}}`, lines(`.labels: Invalid value: `+keyRule("labels"))),
		Entry("a label's key: two slashes", `{labels: {a/b/c: v}}`, lines(`.labels: Invalid value: `+keyRule("labels"))),
		Entry("a label's key: an empty part of the domain", `{labels: {a..b/c: v}}`, lines(`.labels: Invalid value: `+keyRule("labels"))),
		Entry("a label's key: a domain in capitals", `{labels: {KUBERNETES.IO/x: v}}`, lines(`.labels: Invalid value: `+keyRule("labels"))),
		Entry("a label's key: no name", `{labels: {example.com/: v}}`, lines(`.labels: Invalid value: `+keyRule("labels"))),
		Entry("a label's key: no domain", `{labels: {/a: v}}`, lines(`.labels: Invalid value: `+keyRule("labels"))),
		Entry("a label's key: ..", `{labels: {"..": v}}`, lines(`.labels: Invalid value: `+keyRule("labels"))),
		Entry("a label's key: too long", `{labels: {`+strings.Repeat("b", 64)+`: v}}`, lines(`.labels: Invalid value: `+keyRule("labels"))),
		Entry("a label's key: a domain that is too long", `{labels: {`+strings.Repeat("a", 254)+`/b: v}}`, lines(`.labels: Invalid value: `+keyRule("labels"))),
		Entry("a label's value: a space", `{labels: {a: b c}}`, lines(`.labels: Invalid value: `+labelValueRule)),
		Entry("a label's value: ..", `{labels: {a: ..}}`, lines(`.labels: Invalid value: `+labelValueRule)),
		Entry("a label's value: a template", `{labels: {a: "{{ .Slug }}"}}`, lines(`.labels: Invalid value: `+labelValueRule)),
		Entry("a label's value: too long", `{labels: {a: LONG}}`, lines(`.labels.a: Too long: may not be more than 63 bytes`)),
		Entry("a label's value: a number", `{labels: {a: 1}}`, lines(
			`.labels.a: Invalid value: "integer": spec.secretTemplate.labels.a in body must be of type string: "integer"`)),

		Entry("empty annotations", `{annotations: {}}`, lines(
			`.annotations: Invalid value: 0: spec.secretTemplate.annotations in body should have at least 1 properties`)),
		Entry("17 annotations", `{annotations: {`+numbered(17)+`}}`, lines(`.annotations: Too many: 17: must have at most 16 items`)),
		Entry("an annotation of kubernetes.io", `{annotations: {kubernetes.io/x: v}}`, lines(`.annotations: Invalid value: `+domainRule("annotations"))),
		Entry("an annotation of app.kubernetes.io", `{annotations: {app.kubernetes.io/x: v}}`, lines(`.annotations: Invalid value: `+domainRule("annotations"))),
		Entry("an annotation of k8s.io", `{annotations: {k8s.io/x: v}}`, lines(`.annotations: Invalid value: `+domainRule("annotations"))),
		Entry("an annotation of x.k8s.io", `{annotations: {x.k8s.io/x: v}}`, lines(`.annotations: Invalid value: `+domainRule("annotations"))),
		Entry("an annotation of x-k8s.io", `{annotations: {x-k8s.io/x: v}}`, lines(`.annotations: Invalid value: `+domainRule("annotations"))),
		Entry("one of our facts", `{annotations: {pipes.workos.com/expires-at: never}}`, lines(`.annotations: Invalid value: `+domainRule("annotations"))),
		Entry("kubectl's own annotation", `{annotations: {kubectl.kubernetes.io/last-applied-configuration: v}}`, lines(
			`.annotations: Invalid value: `+domainRule("annotations"))),
		Entry("an annotation's key: a space", `{annotations: {a b: v}}`, lines(`.annotations: Invalid value: `+keyRule("annotations"))),
		Entry("an annotation's key: a domain in capitals", `{annotations: {PIPES.WORKOS.COM/x: v}}`, lines(`.annotations: Invalid value: `+keyRule("annotations"))),
		Entry("an annotation's value: too long", `{annotations: {a: `+strings.Repeat("a", 4097)+`}}`, lines(
			`.annotations.a: Too long: may not be more than 4096 bytes`)),
		Entry("an annotation's value: a list", `{annotations: {a: []}}`, lines(
			`.annotations.a: Invalid value: "array": spec.secretTemplate.annotations.a in body must be of type string: "array"`)),

		Entry("empty data", `{data: {}}`, lines(`.data: Invalid value: 0: spec.secretTemplate.data in body should have at least 1 properties`)),
		Entry("17 keys", `{data: {`+numbered(17)+`}}`, lines(`.data: Too many: 17: must have at most 16 items`)),
		Entry("a key: empty", `{data: {"": x}}`, lines(`.data: Invalid value: `+dataKeyRule)),
		Entry("a key: .", `{data: {".": x}}`, lines(`.data: Invalid value: `+dataKeyRule)),
		Entry("a key: ..", `{data: {"..": x}}`, lines(`.data: Invalid value: `+dataKeyRule)),
		Entry("a key: begins with ..", `{data: {"..data": x}}`, lines(`.data: Invalid value: `+dataKeyRule)),
		Entry("a key: a path", `{data: {../a: x}}`, lines(`.data: Invalid value: `+dataKeyRule)),
		Entry("a key: a patch directive", `{data: {$patch: x}}`, lines(`.data: Invalid value: `+dataKeyRule)),
		Entry("a key: too long", `{data: {LONG: x}}`, lines(`.data: Invalid value: `+dataKeyRule)),
		Entry("a template: empty", `{data: {a: ""}}`, lines(`.data.a: Invalid value: "": spec.secretTemplate.data.a in body should be at least 1 chars long`)),
		Entry("a template: too long", `{data: {a: `+strings.Repeat("x", 8193)+`}}`, lines(`.data.a: Too long: may not be more than 8192 bytes`)),
		Entry("a template: a number", `{data: {a: 1}}`, lines(
			`.data.a: Invalid value: "integer": spec.secretTemplate.data.a in body must be of type string: "integer"`)),
	)

	DescribeTable("at the size limit of a secretTemplate", func(ctx context.Context, template map[string]any) {
		const limit = 64 << 10
		create := func(size int) error {
			GinkgoHelper()
			spec := parse(leastToken)
			spec["secretTemplate"] = padded(template, size)
			return user.Create(ctx, object("PipesToken", spec), client.DryRunAll)
		}
		Expect(create(limit)).To(Succeed())
		Expect(words(create(limit + 1))).To(ConsistOf(`spec.secretTemplate: Invalid value: ` +
			`secretTemplate must be at most 65536 bytes: the keys and values of data, labels and annotations together`))
	},
		Entry("counts data", map[string]any{"data": sized(7, 8192)}),
		Entry("counts annotations", map[string]any{"annotations": sized(15, 4096)}),
		Entry("counts labels", map[string]any{"labels": sized(16, 63), "data": sized(7, 8192)}),
		Entry("counts everything together", map[string]any{"labels": sized(4, 60), "annotations": sized(7, 4096), "data": sized(4, 8192)}),
		Entry("counts bytes and not characters", map[string]any{"annotations": map[string]any{"a": strings.Repeat("ü", 4096)}, "data": sized(6, 8192)}),
	)

	// full has every immutable field.
	const full = `{slug: github, userID: user_1, organizationID: org_1, environmentRef: {name: default, namespace: pipes-system},
		secretName: a, secretTemplate: {type: Opaque}}`
	immutable := func(field string) string { return field + " is immutable: create another PipesToken" }
	fixed := func(field string) string { return field + " cannot be added or removed: create another PipesToken" }

	DescribeTable("cannot have", func(ctx context.Context, before, changes string, want []string) {
		Expect(words(tryToUpdate(ctx, "PipesToken", before, changes))).To(ConsistOf(want))
	},
		Entry("its slug changed", full, `{slug: slack}`, lines(`spec.slug: Invalid value: "slack": `+immutable("slug"))),
		Entry("its slug changed in case", full, `{slug: GitHub}`, lines(`spec.slug: Invalid value: "GitHub": `+immutable("slug"))),
		Entry("its slug removed", full, `{slug: null}`, lines(`spec.slug: Required value`)),
		Entry("its user changed", full, `{userID: user_2}`, lines(`spec.userID: Invalid value: "user_2": `+immutable("userID"))),
		Entry("its user removed", full, `{userID: null}`, lines(`spec.userID: Required value`)),
		Entry("its organization changed", full, `{organizationID: org_2}`, lines(
			`spec.organizationID: Invalid value: "org_2": `+immutable("organizationID"))),
		Entry("its organization removed", full, `{organizationID: null}`, lines(`spec.organizationID: Invalid value: `+fixed("organizationID"))),
		Entry("an organization added", leastToken, `{organizationID: org_1}`, lines(`spec.organizationID: Invalid value: `+fixed("organizationID"))),
		Entry("its environment changed", full, `{environmentRef: {name: other}}`, lines(
			`spec.environmentRef: Invalid value: `+immutable("environmentRef"))),
		Entry("its environment's namespace changed", full, `{environmentRef: {namespace: other}}`, lines(
			`spec.environmentRef: Invalid value: `+immutable("environmentRef"))),
		Entry("its environment's namespace removed", full, `{environmentRef: {namespace: null}}`, lines(
			`spec.environmentRef: Invalid value: `+immutable("environmentRef"))),
		Entry("its environment removed", full, `{environmentRef: null}`, lines(`spec.environmentRef: Invalid value: `+fixed("environmentRef"))),
		Entry("an environment added", leastToken, `{environmentRef: {name: default}}`, lines(
			`spec.environmentRef: Invalid value: `+fixed("environmentRef"))),
		Entry("its Secret's name changed", full, `{secretName: b}`, lines(`spec.secretName: Invalid value: "b": `+immutable("secretName"))),
		Entry("its Secret's name removed", full, `{secretName: null}`, lines(`spec.secretName: Invalid value: `+fixed("secretName"))),
		Entry("a Secret's name added", leastToken, `{secretName: a}`, lines(`spec.secretName: Invalid value: `+fixed("secretName"))),
		Entry("its Secret's type changed", full, `{secretTemplate: {type: kubernetes.io/basic-auth, data: {password: x}}}`, lines(
			`spec.secretTemplate.type: Invalid value: `+immutable("secretTemplate.type"))),
		Entry("a typed template added", leastToken, `{secretTemplate: {type: kubernetes.io/basic-auth, data: {password: x}}}`, lines(
			`spec.secretTemplate.type: Invalid value: `+immutable("secretTemplate.type"))),
		Entry("its typed template removed", `{slug: a, userID: b, secretTemplate: {type: kubernetes.io/basic-auth, data: {password: x}}}`,
			`{secretTemplate: null}`, lines(`spec.secretTemplate.type: Invalid value: `+immutable("secretTemplate.type"))),
		Entry("its typed template's data removed", `{slug: a, userID: b, secretTemplate: {type: kubernetes.io/basic-auth, data: {password: x}}}`,
			`{secretTemplate: {data: null}}`, lines(`spec.secretTemplate.data: Invalid value: `+basicAuthRule)),
		Entry("something else made wrong", full, `{renewBefore: 1d}`, lines(`spec.renewBefore: Invalid value: "1d": `+renewRule)),
	)

	DescribeTable("can have", func(ctx context.Context, before, changes string) {
		Expect(tryToUpdate(ctx, "PipesToken", before, changes)).To(Succeed())
	},
		Entry("nothing changed", full, `{}`),
		Entry("its template removed, when it was of the default type", full, `{secretTemplate: null}`),
		Entry("a template of the default type added", leastToken, `{secretTemplate: {data: {a: b}, labels: {a: b}, annotations: {a: b}}}`),
		Entry("its type removed, when it was the default", full, `{secretTemplate: {type: null}}`),
		Entry("renewal changed", full, `{renewBefore: 5m, refreshInterval: 2h}`),
		Entry("renewal left to the default", `{slug: a, userID: b, renewBefore: 5m, refreshInterval: 2h}`, `{renewBefore: null, refreshInterval: null}`),
		Entry("its policy changed", full, `{inactivePolicy: Retain}`),
		Entry("suspend set", full, `{suspend: true}`),
	)
})

// numbered returns n entries of a map.
func numbered(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("a%d: x", i)
	}
	return strings.Join(list, ", ")
}

// sized returns n entries of a map, each with a value of length bytes.
func sized(n, length int) map[string]any {
	entries := map[string]any{}
	for i := range n {
		entries[fmt.Sprintf("s%02d", i)] = strings.Repeat("x", length)
	}
	return entries
}

// padded returns a copy of template with size bytes of keys and values. The entry "pad" of data
// fills the difference.
func padded(template map[string]any, size int) map[string]any {
	GinkgoHelper()
	result, data := map[string]any{}, map[string]any{}
	for field, entries := range template {
		result[field] = entries
		for key, value := range entries.(map[string]any) {
			size -= len(key) + len(value.(string))
			if field == "data" {
				data[key] = value
			}
		}
	}
	data["pad"] = strings.Repeat("x", size-len("pad"))
	result["data"] = data
	return result
}

func unknownField(kind, field string) string {
	return fmt.Sprintf("%s in version \"v1alpha1\" cannot be handled as a %s: strict decoding error: unknown field %q", kind, kind, field)
}

// tryToUpdate returns the error of the API server for a dry run of a change.
func tryToUpdate(ctx context.Context, kind, before, changes string) error {
	GinkgoHelper()
	there := object(kind, parse(before))
	Expect(user.Create(ctx, there)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { Expect(user.Delete(ctx, there)).To(Succeed()) })
	changed := there.DeepCopy()
	changed.Object["spec"] = withChanges(there.Object["spec"].(map[string]any), parse(changes))
	return user.Update(ctx, changed, client.DryRunAll)
}
