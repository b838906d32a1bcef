package grants_test

import (
	"encoding/json"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

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
	f.Fuzz(func(t *testing.T, stored []byte, namespace, slug, user, organization, label, value string) {
		environment := &v1alpha1.PipesEnvironment{}
		if json.Unmarshal(stored, environment) != nil {
			return
		}
		claim := grants.Claim{Namespace: namespace, Slug: slug, UserID: user, OrganizationID: organization}
		expectAsDocumented(t, environment, claim)
		claim.NamespaceLabels = map[string]string{label: value}
		expectAsDocumented(t, environment, claim)
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
		works = works && isReadable(grant.Namespaces.Selector) &&
			isComplete(grant.Slugs) && isComplete(grant.OrganizationIDs) && isComplete(grant.UserIDs)
	}
	if err := grants.Validate(environment); (err == nil) != works {
		t.Errorf("every grant works: %v, but the mistake is %v: %s", works, err, asJSON(t, environment))
	}
}

// documented implements the rules of docs/reference/api.md a second time, with loops and
// comparisons only.
func documented(environment *v1alpha1.PipesEnvironment, claim grants.Claim) bool {
	if claim.Namespace == environment.Namespace {
		return true
	}
	for _, grant := range environment.Spec.Grants {
		if !allowsValue(grant.Slugs, claim.Slug) || !allowsOrganization(grant.OrganizationIDs, claim.OrganizationID) ||
			!allowsValue(grant.UserIDs, claim.UserID) {
			continue
		}
		for _, name := range grant.Namespaces.Names {
			if name == "*" || name == claim.Namespace {
				return true
			}
		}
		if claim.NamespaceLabels != nil && selects(grant.Namespaces.Selector, claim.NamespaceLabels) {
			return true
		}
	}
	return false
}

// allowsValue reports whether the list is ["*"] or contains the value. A list without items
// contains no value, and "" is never allowed.
func allowsValue(list []string, value string) bool {
	if value == "" {
		return false
	}
	if len(list) == 1 && list[0] == "*" {
		return true
	}
	for _, member := range list {
		if value == member {
			return true
		}
	}
	return false
}

// allowsOrganization is the same for organizations, with two differences: "none" and ["*"]
// allow a claim without an organization, and "none" allows nothing else.
func allowsOrganization(list []string, organization string) bool {
	if len(list) == 1 && list[0] == "*" {
		return true
	}
	for _, member := range list {
		if member == "none" && organization == "" {
			return true
		}
		if member != "none" && member != "" && member == organization {
			return true
		}
	}
	return false
}

// isComplete reports whether the list has an item, and a star only if it is alone.
func isComplete(list []string) bool {
	for _, member := range list {
		if member == "*" && len(list) > 1 {
			return false
		}
	}
	return len(list) > 0
}

// selects reports whether all parts of the selector match. A selector without parts, and an
// invalid selector, match nothing.
func selects(selector *metav1.LabelSelector, labels map[string]string) bool {
	if selector == nil || !isReadable(selector) || len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
		return false
	}
	for key, value := range selector.MatchLabels {
		if has, ok := labels[key]; !ok || has != value {
			return false
		}
	}
	for _, expression := range selector.MatchExpressions {
		has, ok := labels[expression.Key]
		in := false
		for _, value := range expression.Values {
			in = in || ok && value == has
		}
		switch expression.Operator {
		case metav1.LabelSelectorOpIn:
			ok = in
		case metav1.LabelSelectorOpNotIn:
			ok = !in
		case metav1.LabelSelectorOpDoesNotExist:
			ok = !ok
		case metav1.LabelSelectorOpExists:
		}
		if !ok {
			return false
		}
	}
	return true
}

// isReadable reports whether keys and values are valid for labels, and operators have values
// exactly when they need them.
func isReadable(selector *metav1.LabelSelector) bool {
	if selector == nil {
		return true
	}
	for key, value := range selector.MatchLabels {
		if len(validation.IsQualifiedName(key)) > 0 || len(validation.IsValidLabelValue(value)) > 0 {
			return false
		}
	}
	for _, expression := range selector.MatchExpressions {
		if len(validation.IsQualifiedName(expression.Key)) > 0 {
			return false
		}
		for _, value := range expression.Values {
			if len(validation.IsValidLabelValue(value)) > 0 {
				return false
			}
		}
		switch expression.Operator {
		case metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn:
			if len(expression.Values) == 0 {
				return false
			}
		case metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist:
			if len(expression.Values) > 0 {
				return false
			}
		default:
			return false
		}
	}
	return true
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
		environment.Spec.Grants = append(environment.Spec.Grants, grant)
	}
	return environment
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
			claim.NamespaceLabels[d.one("team", "stage")] = d.one("ai", "prod", "")
		}
	}
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
