//go:build reliability

package tenancy_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// organization allows the tenant one organization, for any user.
const organization = `{grants: [{namespaces: {names: [TENANT]}, organizationIDs: [org_1], slugs: ["*"], userIDs: ["*"]}]}`

// Grants that take the user, or the organization, from a label of the namespace.
const (
	byUserLabel         = `{grants: [{namespaces: {names: ["*"]}, slugs: ["*"], organizationIDs: ["*"], userIDsFrom: {namespaceLabel: example.com/user-id}}]}`
	byOrganizationLabel = `{grants: [{namespaces: {names: ["*"]}, slugs: ["*"], organizationIDsFrom: {namespaceLabel: example.com/organization-id}, userIDs: ["*"]}]}`
)

// askedForGitHub is a call for the token of a user's connection to GitHub.
const askedForGitHub = called + ": POST api.workos.com/data-integrations/github/token"

var _ = It("T1: what is granted works, so that what follows can fail", Label("T1"), func() {
	w := newWorld(one)
	before := network.mark()
	w.synced("mine", `{}`)
	Expect(network.callsSince(before)).To(HaveExactElements(askedForGitHub))
})

var _ = DescribeTable("Asking for what is not granted", func(grants, spec, says string) {
	w := newWorld(grants)
	token := w.pipesToken("theirs", spec)
	w.connect(token)
	w.refused(byCondition(v1alpha1.NotGrantedReason, says), w.creating(w.editor, token))
},
	attack("T1", "anything, without a grant", nothing, `{}`, `its owner can add one to spec.grants`),
	attack("T1", "another user", one, `{userID: user_victim}`, `user "user_victim"`),
	attack("T1", "another slug", one, `{slug: slack}`, `slug "slack"`),
	attack("T1", "an organization, where the grant is for none", `{grants: [{namespaces: {names: [TENANT]}, slugs: ["*"], organizationIDs: [none], userIDs: ["*"]}]}`,
		`{organizationID: org_1}`, `organization "org_1"`),
	attack("T1", "another organization", organization, `{organizationID: org_2}`, `organization "org_2"`),
	attack("T1", "no organization, where the grant names some", organization, `{}`, `and no organization`),
	attack("T1", "an organization, where only other users are granted", one, `{userID: user_2, organizationID: org_1}`, `organization "org_1"`),
	attack("T1", "by halves of two grants",
		`{grants: [{namespaces: {names: [TENANT]}, slugs: [slack], organizationIDs: ["*"], userIDs: ["*"]}, {namespaces: {names: [neighbour]}, slugs: [github], organizationIDs: ["*"], userIDs: ["*"]}]}`, `{}`, `slug "github"`),
	attack("T1", "from the PipesEnvironment of a neighbour", all, `{environmentRef: {name: private, namespace: neighbour}}`,
		`No grant of PipesEnvironment "private" in namespace "neighbour"`),
	attack("T1", "from the default PipesEnvironment", all, `{environmentRef: null}`, `No grant of PipesEnvironment "default" in namespace "pipes-system"`),
	attack("T1", "suspended, to be overlooked", nothing, `{suspend: true}`, `its owner can add one to spec.grants`),
	attack("T1", "to be retained", nothing, `{inactivePolicy: Retain}`, `its owner can add one to spec.grants`),
	attack("T1", "under the name of the victim", nothing, `{userID: user_victim, secretName: victim}`, `user "user_victim"`),

	attack("T1", "the organization's connection, where a grant names no owners", all,
		`{connectionOwner: Organization, organizationID: org_1}`, `to ask for the organization's connection with slug "github"`),
	attack("T1", "the organization's connection, where a grant is for users", `{grants: [{namespaces: {names: [TENANT]}, `+anything+`, connectionOwners: [User]}]}`,
		`{connectionOwner: Organization, organizationID: org_1}`, `the organization's connection`),
	attack("T1", "a user's connection, where a grant is for organizations", `{grants: [{namespaces: {names: [TENANT]}, `+anything+`, connectionOwners: [Organization]}]}`,
		`{organizationID: org_1}`, `to ask for slug "github"`),
	attack("T1", "the organization's connection, by halves of two grants",
		`{grants: [{namespaces: {names: [TENANT]}, slugs: [slack], organizationIDs: ["*"], userIDs: ["*"], connectionOwners: [Organization]}, `+
			`{namespaces: {names: [TENANT]}, slugs: [github], organizationIDs: ["*"], userIDs: ["*"]}]}`,
		`{connectionOwner: Organization, organizationID: org_1}`, `the organization's connection`),
	attack("T1", "another organization's connection", `{grants: [{namespaces: {names: [TENANT]}, slugs: ["*"], organizationIDs: [org_1], userIDs: ["*"], connectionOwners: [Organization]}]}`,
		`{connectionOwner: Organization, organizationID: org_2}`, `organization "org_2"`),
	attack("T1", "another user's account, by its ID", one, `{userID: user_victim, connectedAccountID: data_installation_victim}`, `user "user_victim"`),
	attack("T1", "another user's API key", one, `{userID: user_victim, authMethod: APIKey}`, `user "user_victim"`),
	attack("T1", "another user's client credentials", one, `{userID: user_victim, authMethod: ClientCredentials}`, `user "user_victim"`),

	attack("T2", "the user in capitals", one, `{userID: USER_GRANTED}`, `user "USER_GRANTED"`),
	attack("T2", "the beginning of the user", one, `{userID: user_grante}`, `user "user_grante"`),
	attack("T2", "the user, and more", one, `{userID: user_granted_}`, `user "user_granted_"`),
	attack("T2", "something, and the user", one, `{userID: xuser_granted}`, `user "xuser_granted"`),
	attack("T2", "another hyphen in the user", one, `{userID: user-granted}`, `user "user-granted"`),
	attack("T2", "the slug in another case", one, `{slug: GitHub}`, `slug "GitHub"`),
	attack("T2", "the beginning of the slug", one, `{slug: git}`, `slug "git"`),
	attack("T2", "the slug, and more", one, `{slug: github-enterprise}`, `slug "github-enterprise"`),
	attack("T2", "the organization in capitals", organization, `{organizationID: ORG_1}`, `organization "ORG_1"`),
	attack("T2", "the organization, and more", organization, `{organizationID: org_11}`, `organization "org_11"`),
	attack("T2", "from a namespace whose name is the beginning of one that is granted", `{grants: [{namespaces: {names: [TENANTx]}, `+anything+`}]}`, `{}`, `allows namespace "tenant-`),
	attack("T2", "from a namespace whose name begins as one that is granted", `{grants: [{namespaces: {names: [tenant]}, `+anything+`}]}`, `{}`, `allows namespace "tenant-`),
	attack("T2", "from a namespace whose name ends as one that is granted", `{grants: [{namespaces: {names: [xTENANT]}, `+anything+`}]}`, `{}`, `allows namespace "tenant-`),

	attack("T3", "from a namespace without the label", `{grants: [{namespaces: {selector: {matchLabels: {team: a}}}, `+anything+`}]}`, `{}`, `spec.grants`),
	attack("T3", "from a namespace with another name", `{grants: [{namespaces: {selector: {matchLabels: {kubernetes.io/metadata.name: neighbour}}}, `+anything+`}]}`, `{}`, `spec.grants`),
	attack("T3", "by a selector that cannot be read", `{grants: [{namespaces: {selector: {matchExpressions: [{key: team, operator: Likes, values: [a]}]}}, `+anything+`}]}`,
		`{}`, `spec.grants`),
	attack("T3", "from a namespace without a user", byUserLabel, `{}`, `the namespace has no such label`),
	attack("T3", "from a namespace without an organization", byOrganizationLabel, `{organizationID: org_1}`, `the namespace has no such label`),
	attack("T3", "without an organization, as the namespace has none", byOrganizationLabel, `{}`, `the namespace has no such label`),
	attack("T3", "for a user like the namespace, from another", `{grants: [{namespaces: {names: ["*"]}, slugs: ["*"], organizationIDs: ["*"], userIDsFrom: {namespaceLabel: kubernetes.io/metadata.name}}]}`,
		`{userID: neighbour}`, `its value is "tenant-`),
)

var _ = It("T1: asking for a PipesEnvironment that is not there is told as such", Label("T1"), func() {
	w := newWorld(nothing)
	token := w.pipesToken("theirs", `{environmentRef: {name: missing, namespace: neighbour}}`)
	w.refused(byCondition(v1alpha1.EnvironmentNotFoundReason, `create it there`), w.creating(w.editor, token))
})

// Rules of the CRD for the names and IDs of a PipesToken.
const (
	idRule   = `must be letters, digits, '-' and '_'`
	nameRule = `must be a DNS`
)

var _ = DescribeTable("Names that are read in two ways", func(spec, says string) {
	common.refused(byAPIServer(says), common.creating(common.editor, common.pipesToken("theirs", spec)))
},
	attack("T2", "no user", `{userID: null}`, `spec.userID: Required value`),
	attack("T2", "an empty user", `{userID: ""}`, `at least 1 chars`),
	attack("T2", "every user", `{userID: "*"}`, idRule),
	attack("T2", "a user with a space behind", `{userID: "user_granted "}`, idRule),
	attack("T2", "a user with a dot behind", `{userID: user_granted.}`, idRule),
	attack("T2", "a user with a line break behind", `{userID: "user_granted\n"}`, idRule),
	attack("T2", "a user with a NUL behind", `{userID: "user_granted\0"}`, idRule),
	attack("T2", "a user with a Cyrillic letter", `{userID: "user_gr\u0430nted"}`, idRule),
	attack("T2", "a user with a letter of full width", `{userID: "user_grante\uff44"}`, idRule),
	attack("T2", "a user with a space of no width", `{userID: "user_\u200bgranted"}`, idRule),
	attack("T2", "a user that is escaped", `{userID: user%5Fgranted}`, idRule),
	attack("T2", "two users", `{userID: "user_granted,user_victim"}`, idRule),
	attack("T2", "a list of users", `{userID: [user_granted, user_victim]}`, `must be of type string`),
	attack("T2", "a user that ends its JSON", `{userID: 'user_granted","user_id":"user_victim'}`, idRule),
	attack("T2", "an empty organization", `{organizationID: ""}`, `at least 1 chars`),
	attack("T2", "an organization with a space before", `{organizationID: " org_1"}`, idRule),
	attack("T2", "an organization with a space behind", `{organizationID: "org_1 "}`, idRule),
	attack("T2", "an organization with a space that is none", `{organizationID: "org_1\u00a0"}`, idRule),
	attack("T2", "an organization that is named as none is in grants", `{organizationID: none}`, `must not be 'none'`),
	attack("T2", "every organization", `{organizationID: "*"}`, idRule),
	attack("T2", "an organization's connection without the organization", `{connectionOwner: Organization}`, `spec.organizationID: Required value`),
	attack("T2", "an organization's connection of none", `{connectionOwner: Organization, organizationID: none}`, `must not be 'none'`),
	attack("T2", "an owner in another case", `{connectionOwner: organization, organizationID: org_1}`, `Unsupported value: "organization"`),
	attack("T2", "every owner", `{connectionOwner: "*"}`, `Unsupported value: "*"`),
	attack("T2", "two owners", `{connectionOwner: [User, Organization]}`, `must be of type string`),
	attack("T2", "an account that ends its JSON", `{connectedAccountID: 'a","user_id":"user_victim'}`, idRule),
	attack("T2", "an account with a query", `{connectedAccountID: "a&user_id=user_victim"}`, idRule),
	attack("T2", "an account that leads up", `{connectedAccountID: ../user_victim}`, idRule),
	attack("T2", "every account", `{connectedAccountID: "*"}`, idRule),
	attack("T2", "an empty account", `{connectedAccountID: ""}`, `at least 1 chars`),
	attack("T2", "a method that ends its JSON", `{authMethod: 'OAuth","user_id":"user_victim'}`, `Unsupported value`),
	attack("T2", "a slug that leads up", `{slug: ..}`, idRule),
	attack("T2", "a slug that leads up, escaped", `{slug: "%2e%2e"}`, idRule),
	attack("T2", "a slug that leads up, escaped twice", `{slug: "%252e%252e"}`, idRule),
	attack("T2", "a slug that leads aside", `{slug: github/../slack}`, idRule),
	attack("T2", "a slug that leads aside by backslashes", `{slug: 'github\..\slack'}`, idRule),
	attack("T2", "a slug with a query", `{slug: "github?user_id=user_victim"}`, idRule),
	attack("T2", "a slug with a fragment", `{slug: "github#"}`, idRule),
	attack("T2", "a slug with a parameter", `{slug: github;x}`, idRule),
	attack("T2", "a slug with a line break behind", `{slug: "github\n"}`, idRule),
	attack("T2", "a slug that ends the request", `{slug: "github/token HTTP/1.1\r\nHost: x"}`, idRule),
	attack("T2", "a slug with a letter that is k in another case", `{slug: "slac\u212a"}`, idRule),
	attack("T2", "a PipesEnvironment that leads up", `{environmentRef: {name: ../default}}`, nameRule),
	attack("T2", "a PipesEnvironment of every namespace", `{environmentRef: {namespace: "*"}}`, nameRule),
	attack("T2", "a PipesEnvironment of a namespace with a space", `{environmentRef: {namespace: "pipes-system "}}`, nameRule),
	attack("T2", "a Secret elsewhere", `{secretName: neighbour/victim}`, nameRule),
	attack("T2", "a namespace of the Secret", `{secretNamespace: neighbour}`, `unknown field "spec.secretNamespace"`),
	attack("T2", "an API key of its own", `{apiKey: sk_test}`, `unknown field "spec.apiKey"`),
)

// byTeam is a grant for namespaces with a label.
const byTeam = `{grants: [{namespaces: {selector: {matchLabels: {team: a}}}, ` + anything + `}]}`

var _ = DescribeTable("Labelling the own namespace", func(role, grants, key, value string) {
	w := newWorld(grants)
	token := w.pipesToken("theirs", `{organizationID: org_1}`)
	w.connect(token)
	w.refused(byCondition(v1alpha1.NotGrantedReason, `spec.grants`), w.creating(w.editor, token))
	w.refused(byAPIServer(`cannot patch resource "namespaces"`), func() (client.Object, error) {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
		return nil, w.edit(w.as(role), namespace, func() { namespace.Labels[key] = value })
	})
	w.expectReady(token, v1alpha1.NotGrantedReason, "")
},
	attack("T3", "with edit", "edit", byTeam, "team", "a"),
	attack("T3", "with admin", "admin", byTeam, "team", "a"),
	attack("T3", "with the user, with edit", "edit", byUserLabel, "example.com/user-id", granted),
	attack("T3", "with the user, with admin", "admin", byUserLabel, "example.com/user-id", granted),
	attack("T3", "with the organization, with admin", "admin", byOrganizationLabel, "example.com/organization-id", "org_1"),
)

var _ = It("T3: a label of the PipesToken is none of the namespace", Label("T3"), func() {
	w := newWorld(byUserLabel)
	token := w.pipesToken("theirs", `{}`)
	token.SetLabels(map[string]string{"example.com/user-id": granted})
	token.SetAnnotations(token.GetLabels())
	w.connect(token)
	w.refused(byCondition(v1alpha1.NotGrantedReason, `the namespace has no such label`), w.creating(w.editor, token))
})

// as returns the client of a user with a built-in role in the tenant's namespace.
func (w *world) as(role string) client.Client {
	if role == "admin" {
		return w.admin
	}
	return w.editor
}

// reach is an attempt of a tenant to access objects that do not belong to them.
type reach func(w *world, attacker client.Client) error

func creates(object func(w *world) client.Object) reach {
	return func(w *world, attacker client.Client) error { return attacker.Create(w.ctx, object(w)) }
}

func reads(namespace, name string) reach {
	return func(w *world, attacker client.Client) error {
		return attacker.Get(w.ctx, client.ObjectKey{Namespace: namespace, Name: name}, &corev1.Secret{})
	}
}

var _ = DescribeTable("Reaching beyond the own namespace", func(role string, attempt reach, says string) {
	common.refused(byAPIServer(says), func() (client.Object, error) { return nil, attempt(common, common.as(role)) })
},
	attack("T4", "by a PipesToken in a namespace that has a grant", "admin", creates(func(w *world) client.Object {
		token := w.pipesToken("theirs", `{userID: user_victim, environmentRef: null}`)
		token.SetNamespace(neighbour)
		return token
	}), `cannot create resource "pipestokens"`),
	attack("T4", "by a PipesToken where no grant is needed", "admin", creates(func(w *world) client.Object {
		token := w.pipesToken("theirs", `{environmentRef: null}`)
		token.SetNamespace(harness.Namespace)
		return token
	}), `cannot create resource "pipestokens"`),
	attack("T4", "by a PipesEnvironment beside the API key", "admin", creates(func(*world) client.Object {
		return newEnvironment(harness.Namespace, "mine", `{grants: [{namespaces: {names: ["*"]}, `+anything+`}]}`)
	}), `cannot create resource "pipesenvironments"`),
	attack("T4", "by a PipesEnvironment with the rights of edit", "edit", creates(func(w *world) client.Object {
		return newEnvironment(w.namespace, "mine", `{}`)
	}), `cannot create resource "pipesenvironments"`),
	attack("T4", "by a grant", "admin", reach(func(w *world, attacker client.Client) error {
		environment := &v1alpha1.PipesEnvironment{ObjectMeta: metav1.ObjectMeta{Namespace: harness.Namespace, Name: "default"}}
		return w.edit(attacker, environment, func() { environment.Spec.Grants[0].Namespaces.Names = []string{"*"} })
	}), `cannot patch resource "pipesenvironments"`),
	attack("T4", "for the API key", "admin", reads(harness.Namespace, "workos-api-key"), `cannot get resource "secrets"`),
	attack("T4", "for the victim's token", "admin", reads(neighbour, victim), `cannot get resource "secrets"`),
	attack("T4", "for a token of the operator's account", "admin", reach(func(w *world, attacker client.Client) error {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: harness.Namespace, Name: harness.ServiceAccount}}
		return attacker.SubResource("token").Create(w.ctx, account, &authenticationv1.TokenRequest{})
	}), `cannot create resource "serviceaccounts/token"`),
	attack("T4", "for the operator's role, in the own namespace", "admin", creates(func(w *world) client.Object {
		return &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "mine", Namespace: w.namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: harness.ServiceAccount},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "admin-of-" + w.namespace}},
		}
	}), `attempting to grant RBAC permissions not currently held`),
)

var _ = It("T4: deleting a PipesToken ends nothing at WorkOS", Label("T4"), func() {
	w := newWorld(one)
	token := w.synced("mine", `{}`)
	before := network.mark()
	w.afterPass(token, func() { Expect(w.editor.Delete(w.ctx, token)).To(Succeed()) })
	Expect(network.since(before)).To(BeEmpty())
})

// bare omits every field that can be omitted. full sets all fields that cannot change.
const (
	bare = `{environmentRef: null, userID: user_victim}`
	full = `{organizationID: org_1, secretName: mine, secretTemplate: {type: Opaque}}`
)

var _ = DescribeTable("Changing a PipesToken once it is granted", func(spec, change, says string) {
	w := newWorld(all)
	token := w.pipesToken("mine", spec)
	w.connect(token)
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectLookedAt(token)
	patch, err := yaml.YAMLToJSON([]byte(`{spec: ` + change + `}`))
	Expect(err).NotTo(HaveOccurred())
	w.refused(byAPIServer(says), func() (client.Object, error) {
		return nil, w.editor.Patch(w.ctx, token, client.RawPatch(types.MergePatchType, patch))
	})
},
	attack("T5", "the user", full, `{userID: user_victim}`, `userID is immutable`),
	attack("T5", "the slug", full, `{slug: slack}`, `slug is immutable`),
	attack("T5", "the case of the slug", full, `{slug: GitHub}`, `slug is immutable`),
	attack("T5", "the organization", full, `{organizationID: org_2}`, `organizationID is immutable`),
	attack("T5", "the organization, away", full, `{organizationID: null}`, `organizationID cannot be added or removed`),
	attack("T5", "an organization, later", bare, `{organizationID: org_1}`, `organizationID cannot be added or removed`),
	attack("T5", "the owner", full, `{connectionOwner: Organization}`, `connectionOwner is immutable`),
	attack("T5", "the owner, without an organization", bare, `{connectionOwner: Organization}`, `connectionOwner is immutable`),
	attack("T5", "an account, later", full, `{connectedAccountID: data_installation_victim}`, `connectedAccountID cannot be added or removed`),
	attack("T5", "the method", full, `{authMethod: APIKey}`, `authMethod is immutable`),
	attack("T5", "the PipesEnvironment", full, `{environmentRef: {name: private, namespace: neighbour}}`, `environmentRef is immutable`),
	attack("T5", "the namespace of the PipesEnvironment, away", full, `{environmentRef: {namespace: null}}`, `environmentRef is immutable`),
	attack("T5", "the PipesEnvironment, away", full, `{environmentRef: null}`, `environmentRef cannot be added or removed`),
	attack("T5", "a PipesEnvironment, later", bare, `{environmentRef: {name: private, namespace: neighbour}}`, `environmentRef cannot be added or removed`),
	attack("T5", "the Secret", full, `{secretName: workos-api-key}`, `secretName is immutable`),
	attack("T5", "the Secret, away", full, `{secretName: null}`, `secretName cannot be added or removed`),
	attack("T5", "a Secret, later", bare, `{secretName: workos-api-key}`, `secretName cannot be added or removed`),
	attack("T5", "the type", full, `{secretTemplate: {type: kubernetes.io/basic-auth, data: {password: x}}}`, `secretTemplate.type is immutable`),
	attack("T5", "a type, later", bare, `{secretTemplate: {type: kubernetes.io/basic-auth, data: {password: x}}}`, `secretTemplate.type is immutable`),
)

var _ = DescribeTable("Changing the user by another verb", func(write func(w *world, token *unstructured.Unstructured) error) {
	w := newWorld(all)
	token := w.synced("mine", full)
	w.refused(byAPIServer(`userID is immutable`), func() (client.Object, error) {
		changed := w.reload(token)
		Expect(unstructured.SetNestedField(changed.Object, "user_victim", "spec", "userID")).To(Succeed())
		return nil, write(w, changed)
	})
},
	attack("T5", "update", func(w *world, token *unstructured.Unstructured) error { return w.editor.Update(w.ctx, token) }),
	attack("T5", "server-side apply, by force", func(w *world, token *unstructured.Unstructured) error {
		token.SetManagedFields(nil)
		return w.editor.Apply(w.ctx, client.ApplyConfigurationFromUnstructured(token), client.ForceOwnership, client.FieldOwner("attacker"))
	}),
	attack("T5", "JSON patch", func(w *world, token *unstructured.Unstructured) error {
		return w.editor.Patch(w.ctx, token, client.RawPatch(types.JSONPatchType, []byte(`[{"op": "replace", "path": "/spec/userID", "value": "user_victim"}]`)))
	}),
)
