package v1alpha1_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

const (
	accountRule = `connectedAccountID must be letters, digits, '-' and '_', for example data_installation_01EHZNVPK3SFK441A1RGBFSHRT`
	methods     = `supported values: "OAuth", "APIKey", "ClientCredentials"`
	needsOne    = `spec.organizationID: Required value: connectionOwner Organization needs organizationID: name the organization that shares the connection`
)

var _ = Describe("The connection of a PipesToken", func() {
	DescribeTable("can be", func(ctx context.Context, changes string) {
		Expect(tryToCreate(ctx, "PipesToken", leastToken, changes)).To(Succeed())
	}, entries(
		`{connectionOwner: User}`, `{connectionOwner: null}`, `{connectionOwner: User, organizationID: org_1}`,
		`{connectionOwner: Organization, organizationID: org_1}`,
		`{connectedAccountID: data_installation_01EHZNVPK3SFK441A1RGBFSHRT}`, `{connectedAccountID: "-"}`, `{connectedAccountID: `+strings.Repeat("a", 128)+`}`,
		`{connectedAccountID: null}`,
		`{authMethod: OAuth}`, `{authMethod: APIKey}`, `{authMethod: ClientCredentials}`, `{authMethod: null}`,
		`{connectionOwner: Organization, organizationID: org_1, connectedAccountID: data_installation_1, authMethod: ClientCredentials}`,
	))

	DescribeTable("is refused with", func(ctx context.Context, changes string, want []string) {
		Expect(words(tryToCreate(ctx, "PipesToken", leastToken, changes))).To(ConsistOf(want))
	},
		Entry("an empty owner", `{connectionOwner: ""}`, lines(`spec.connectionOwner: Unsupported value: "": `+owners)),
		Entry("an owner in another case", `{connectionOwner: organization}`, lines(`spec.connectionOwner: Unsupported value: "organization": `+owners)),
		Entry("WorkOS's word for an owner", `{connectionOwner: userland}`, lines(`spec.connectionOwner: Unsupported value: "userland": `+owners)),
		Entry("an owner that is too long", `{connectionOwner: LONG}`, lines(`spec.connectionOwner: Unsupported value: "LONG": `+owners)),
		Entry("a list as owner", `{connectionOwner: [User]}`, lines(
			`spec.connectionOwner: Invalid value: "array": spec.connectionOwner in body must be of type string: "array"`,
			`spec.connectionOwner: Unsupported value: ["User"]: `+owners)),
		Entry("an organization's connection without the organization", `{connectionOwner: Organization}`, lines(needsOne)),
		Entry("an organization's connection and null", `{connectionOwner: Organization, organizationID: null}`, lines(needsOne)),
		Entry("an organization's connection of none", `{connectionOwner: Organization, organizationID: none}`, lines(
			`spec.organizationID: Invalid value: "none": organizationID must not be 'none': leave it out for a connection without an organization`)),
		Entry("an organization's connection and an empty organization", `{connectionOwner: Organization, organizationID: ""}`, lines(
			`spec.organizationID: Invalid value: "": spec.organizationID in body should be at least 1 chars long`)),

		Entry("an empty account", `{connectedAccountID: ""}`, lines(
			`spec.connectedAccountID: Invalid value: "": spec.connectedAccountID in body should be at least 1 chars long`)),
		Entry("an account that is too long", `{connectedAccountID: LONG}`, lines(`spec.connectedAccountID: Too long: may not be more than 128 bytes`)),
		Entry("a path as account", `{connectedAccountID: a/b}`, lines(`spec.connectedAccountID: Invalid value: "a/b": `+accountRule)),
		Entry("a way up as account", `{connectedAccountID: ..}`, lines(`spec.connectedAccountID: Invalid value: "..": `+accountRule)),
		Entry("a query as account", `{connectedAccountID: "a&user_id=b"}`, lines(`spec.connectedAccountID: Invalid value: "a&user_id=b": `+accountRule)),
		Entry("every account", `{connectedAccountID: "*"}`, lines(`spec.connectedAccountID: Invalid value: "*": `+accountRule)),
		Entry("an account with a line break", `{connectedAccountID: "a\n"}`, lines(`spec.connectedAccountID: Invalid value: "a\n": `+accountRule)),
		Entry("an account with an umlaut", `{connectedAccountID: ü}`, lines(`spec.connectedAccountID: Invalid value: "ü": `+accountRule)),
		Entry("a number as account", `{connectedAccountID: 1}`, lines(
			`spec.connectedAccountID: Invalid value: "integer": spec.connectedAccountID in body must be of type string: "integer"`)),

		Entry("an empty method", `{authMethod: ""}`, lines(`spec.authMethod: Unsupported value: "": `+methods)),
		Entry("WorkOS's word for a method", `{authMethod: api_key}`, lines(`spec.authMethod: Unsupported value: "api_key": `+methods)),
		Entry("a method in another case", `{authMethod: Oauth}`, lines(`spec.authMethod: Unsupported value: "Oauth": `+methods)),
		Entry("a method that there is not", `{authMethod: Password}`, lines(`spec.authMethod: Unsupported value: "Password": `+methods)),
		Entry("several mistakes", `{connectionOwner: Team, connectedAccountID: "", authMethod: none}`, lines(
			`spec.connectionOwner: Unsupported value: "Team": `+owners,
			`spec.connectedAccountID: Invalid value: "": spec.connectedAccountID in body should be at least 1 chars long`,
			`spec.authMethod: Unsupported value: "none": `+methods)),
	)

	const shared = `{slug: github, userID: user_1, organizationID: org_1, connectionOwner: Organization, connectedAccountID: data_installation_1, authMethod: APIKey}`
	immutable := func(field, value string) string {
		return `spec.` + field + `: Invalid value: "` + value + `": ` + field + ` is immutable: create another PipesToken`
	}
	const fixedAccount = `spec.connectedAccountID: Invalid value: connectedAccountID cannot be added or removed: create another PipesToken`

	DescribeTable("cannot have", func(ctx context.Context, before, changes string, want []string) {
		Expect(words(tryToUpdate(ctx, "PipesToken", before, changes))).To(ConsistOf(want))
	},
		Entry("its owner changed", shared, `{connectionOwner: User}`, lines(immutable("connectionOwner", "User"))),
		Entry("its owner removed", shared, `{connectionOwner: null}`, lines(immutable("connectionOwner", "User"))),
		Entry("an owner added", `{slug: a, userID: b, organizationID: c}`, `{connectionOwner: Organization}`, lines(immutable("connectionOwner", "Organization"))),
		Entry("an owner added without the organization", leastToken, `{connectionOwner: Organization}`, lines(immutable("connectionOwner", "Organization"), needsOne)),
		Entry("the owner's organization removed", shared, `{organizationID: null}`, lines(needsOne,
			`spec.organizationID: Invalid value: organizationID cannot be added or removed: create another PipesToken`)),
		Entry("its account changed", shared, `{connectedAccountID: data_installation_2}`, lines(immutable("connectedAccountID", "data_installation_2"))),
		Entry("its account removed", shared, `{connectedAccountID: null}`, lines(fixedAccount)),
		Entry("an account added", leastToken, `{connectedAccountID: data_installation_1}`, lines(fixedAccount)),
		Entry("its method changed", shared, `{authMethod: OAuth}`, lines(immutable("authMethod", "OAuth"))),
		Entry("its method removed", shared, `{authMethod: null}`, lines(immutable("authMethod", "OAuth"))),
		Entry("a method added", leastToken, `{authMethod: ClientCredentials}`, lines(immutable("authMethod", "ClientCredentials"))),
	)

	DescribeTable("can have", func(ctx context.Context, before, changes string) {
		Expect(tryToUpdate(ctx, "PipesToken", before, changes)).To(Succeed())
	},
		Entry("nothing changed", shared, `{}`),
		Entry("the default owner and method written", leastToken, `{connectionOwner: User, authMethod: OAuth}`),
		Entry("the default owner and method removed", `{slug: a, userID: b, connectionOwner: User, authMethod: OAuth}`, `{connectionOwner: null, authMethod: null}`),
		Entry("suspend set", shared, `{suspend: true}`),
	)
})
