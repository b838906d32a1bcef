package grants_test

import (
	"encoding/json"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/grants"
)

// FuzzAllowed checks that Allowed decides as documented. Environments and claims have few
// different values, so that they often match.
func FuzzAllowed(f *testing.F) {
	f.Add([]byte("any namespace, any slug"))
	f.Fuzz(func(t *testing.T, drawn []byte) {
		d := &draw{bytes: drawn}
		expectAsDocumented(t, d.environment(), d.claim())
	})
}

// FuzzAllowedStored checks the same for all environments that an API server may have stored,
// with any version of the CRD.
func FuzzAllowedStored(f *testing.F) {
	f.Add([]byte(`{"spec":{"grants":[{"namespaces":{"names":["agents"]},"slugs":["*"],"organizationIDs":["none"],"userIDs":["*"]}]}}`),
		"agents", "github", "user_alice", "", "team", "ai")
	f.Add([]byte(`{"spec":{"grants":[{"namespaces":{"names":["*"]},"slugs":["*"],"organizationIDsFrom":{"namespaceLabel":"team"},`+
		`"userIDs":["*"],"connectionOwners":["Organization"]}]}}`), "agents", "github", "user_alice", "org_acme", "team", "org_acme")
	f.Fuzz(func(t *testing.T, stored []byte, namespace, slug, user, organization, label, value string) {
		environment := &v1alpha1.PipesEnvironment{}
		if json.Unmarshal(stored, environment) != nil {
			return
		}
		for _, owner := range []v1alpha1.ConnectionOwner{"", v1alpha1.ConnectionOwnerUser, v1alpha1.ConnectionOwnerOrganization} {
			claim := grants.Claim{Namespace: namespace, Slug: slug, UserID: user, OrganizationID: organization, Owner: owner}
			expectAsDocumented(t, environment, claim)
			claim.NamespaceLabels = map[string]string{label: value}
			expectAsDocumented(t, environment, claim)
		}
	})
}

func expectAsDocumented(t *testing.T, environment *v1alpha1.PipesEnvironment, claim grants.Claim) {
	t.Helper()
	at := environment.Namespace == claim.Namespace
	if got, want := grants.Allowed(environment, claim), documented(environment, claim); got != want {
		t.Errorf("allowed %v, want %v: %s for %+v", got, want, asJSON(t, environment), claim)
	}
	if bare := (&v1alpha1.PipesEnvironment{ObjectMeta: environment.ObjectMeta}); grants.Allowed(bare, claim) != at {
		t.Errorf("without grants, allowed is not %v: %+v", at, claim)
	}
	anonymous, grouped := claim, environment.DeepCopy()
	anonymous.OrganizationID = ""
	for i := range grouped.Spec.Grants {
		named := append(grouped.Spec.Grants[i].OrganizationIDs, "org_other", "")
		grouped.Spec.Grants[i].OrganizationIDs = slices.DeleteFunc(named, func(id string) bool { return id == "none" })
	}
	if grants.Allowed(grouped, anonymous) != at { // in these lists a star is not alone
		t.Errorf("without an organization, where every grant names some, allowed is not %v: %s", at, asJSON(t, grouped))
	}
	unknown := claim
	unknown.NamespaceLabels = nil
	if grants.Allowed(environment, unknown) && !grants.Allowed(environment, claim) {
		t.Errorf("allowed only while the labels are not known: %s", asJSON(t, environment))
	}
	works := true
	for _, grant := range environment.Spec.Grants {
		works = works && isReadable(grant.Namespaces.Selector) && isComplete(grant.Slugs) &&
			isOneForm(grant.OrganizationIDs, grant.OrganizationIDsFrom) && isOneForm(grant.UserIDs, grant.UserIDsFrom) &&
			namesOwners(grant.ConnectionOwners)
	}
	if err := grants.Validate(environment); (err == nil) != works {
		t.Errorf("every grant works: %v, but the mistake is %v: %s", works, err, asJSON(t, environment))
	}
	expectOwnLabels(t, environment, claim)
}

// expectOwnLabels expects that labels alone change nothing unless the environment depends on labels,
// and that mismatches show labels of the claim's own namespace.
func expectOwnLabels(t *testing.T, environment *v1alpha1.PipesEnvironment, claim grants.Claim) {
	t.Helper()
	bare := claim
	bare.NamespaceLabels = nil
	if !grants.DependsOnLabels(environment) && grants.Allowed(environment, claim) != grants.Allowed(environment, bare) {
		t.Errorf("a label decides, but nobody waits for a change of it: %s", asJSON(t, environment))
	}
	for _, mismatch := range grants.Mismatches(environment, claim) {
		if claim.NamespaceLabels[mismatch.Label] != mismatch.Value {
			t.Errorf("%+v is not a label of %+v", mismatch, claim)
		}
		if fits := mismatch.Value == claim.UserID; fits && mismatch.Value != "" && mismatch.Subject == grants.SubjectUser {
			t.Errorf("%+v is no mismatch of %+v", mismatch, claim)
		}
	}
}

// draw turns bytes into choices. When the bytes are used up, each choice is the first.
type draw struct{ bytes []byte }

func (d *draw) below(n int) int {
	if len(d.bytes) == 0 {
		return 0
	}
	first := d.bytes[0]
	d.bytes = d.bytes[1:]
	return int(first) % n
}

func (d *draw) one(of ...string) string { return of[d.below(len(of))] }

// list returns nil, an empty list, or a list of some of the values.
func (d *draw) list(of ...string) []string {
	n := d.below(5)
	if n == 0 {
		return nil
	}
	list := []string{}
	for range n - 1 {
		list = append(list, d.one(of...))
	}
	return list
}

// grantList returns ["*"], nil, an empty list, or a list of some of the values.
func (d *draw) grantList(of ...string) []string {
	switch n := d.below(6); n {
	case 0:
		return []string{"*"}
	case 5:
		return nil
	default:
		list := []string{}
		for range n - 1 {
			list = append(list, d.one(of...))
		}
		return list
	}
}

func (d *draw) environment() *v1alpha1.PipesEnvironment {
	environment := &v1alpha1.PipesEnvironment{ObjectMeta: metav1.ObjectMeta{Namespace: "pipes-system", Name: "default"}}
	for range d.below(4) {
		grant := v1alpha1.Grant{
			Namespaces: v1alpha1.GrantNamespaces{Names: d.list("agents", "*", "jobs", "", "agents*")},
			Slugs:      d.grantList("github", "slack", "", "*"), OrganizationIDs: d.grantList("org_1", "org_2", "", "*", "none"),
			UserIDs: d.grantList("alice", "bob", "", "*"),
		}
		if d.below(2) == 1 {
			grant.Namespaces.Selector = d.selector()
		}
		d.newForms(&grant)
		environment.Spec.Grants = append(environment.Spec.Grants, grant)
	}
	return environment
}

// newForms takes some IDs from labels, mostly without the list, and lists owners.
func (d *draw) newForms(grant *v1alpha1.Grant) {
	source := func(list *[]string) *v1alpha1.NamespaceLabelSource {
		n := d.below(4)
		if n < 2 {
			return nil
		}
		if n == 2 {
			*list = nil
		}
		return &v1alpha1.NamespaceLabelSource{NamespaceLabel: d.one("user", "organization", "team", "", "a b")}
	}
	grant.OrganizationIDsFrom, grant.UserIDsFrom = source(&grant.OrganizationIDs), source(&grant.UserIDs)
	for _, owner := range d.list("User", "Organization", "", "*") {
		grant.ConnectionOwners = append(grant.ConnectionOwners, v1alpha1.ConnectionOwner(owner))
	}
	if d.below(8) == 7 {
		grant.ConnectionOwners = []v1alpha1.ConnectionOwner{}
	}
}

func (d *draw) selector() *metav1.LabelSelector {
	selector := &metav1.LabelSelector{}
	for range d.below(3) {
		metav1.AddLabelToSelector(selector, d.one("team", "stage", "-"), d.one("ai", "prod", "", "a b"))
	}
	for range d.below(3) {
		selector.MatchExpressions = append(selector.MatchExpressions, metav1.LabelSelectorRequirement{
			Key: d.one("team", "stage", "-"), Operator: metav1.LabelSelectorOperator(d.one("In", "NotIn", "Exists", "DoesNotExist", "Gt", "")),
			Values: d.list("ai", "prod", "", "a b"),
		})
	}
	return selector
}

func (d *draw) claim() grants.Claim {
	claim := grants.Claim{
		Namespace: d.one("agents", "jobs", "pipes-system", "*", ""), Slug: d.one("github", "slack", "*", ""),
		UserID: d.one("alice", "bob", "*", ""), OrganizationID: d.one("org_1", "org_2", "none", "*", ""),
	}
	if n := d.below(4); n > 0 {
		claim.NamespaceLabels = map[string]string{}
		for range n - 1 {
			claim.NamespaceLabels[d.one("team", "stage", "user", "organization")] = d.one("ai", "prod", "", "alice", "org_1", "none", "*")
		}
	}
	claim.Owner = v1alpha1.ConnectionOwner(d.one("", "User", "Organization", "Team"))
	return claim
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
