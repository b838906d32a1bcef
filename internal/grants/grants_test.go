package grants_test

import (
	"math/rand"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/grants"
)

// environment returns a PipesEnvironment in namespace "pipes-system" with these grants. A list
// that is nil becomes Any, unless the grant takes the ID from a label, so that a test names only
// the lists that it is about.
func environment(list ...v1alpha1.Grant) *v1alpha1.PipesEnvironment {
	whole := slices.Clone(list)
	for i := range whole {
		orAny(&whole[i].Slugs, nil)
		orAny(&whole[i].OrganizationIDs, whole[i].OrganizationIDsFrom)
		orAny(&whole[i].UserIDs, whole[i].UserIDsFrom)
	}
	return stored(whole...)
}

func orAny(list *[]string, from *v1alpha1.NamespaceLabelSource) {
	if *list == nil && from == nil {
		*list = []string{v1alpha1.Any}
	}
}

// stored returns a PipesEnvironment with exactly these grants.
func stored(list ...v1alpha1.Grant) *v1alpha1.PipesEnvironment {
	return &v1alpha1.PipesEnvironment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "pipes-system", Name: "default"},
		Spec:       v1alpha1.PipesEnvironmentSpec{Grants: list},
	}
}

// alice returns a claim from namespace "agents" for one user's connection in one organization,
// with changes.
func alice(change ...func(*grants.Claim)) grants.Claim {
	claim := grants.Claim{
		Namespace:       "agents",
		NamespaceLabels: map[string]string{"kubernetes.io/metadata.name": "agents", "team": "ai", "stage": "prod"},
		Slug:            "github", UserID: "user_alice", OrganizationID: "org_acme",
	}
	for _, f := range change {
		f(&claim)
	}
	return claim
}

func from(namespace string) func(*grants.Claim) {
	return func(c *grants.Claim) { c.Namespace = namespace }
}

func slug(slug string) func(*grants.Claim) {
	return func(c *grants.Claim) { c.Slug = slug }
}

func user(id string) func(*grants.Claim) {
	return func(c *grants.Claim) { c.UserID = id }
}

func organization(id string) func(*grants.Claim) {
	return func(c *grants.Claim) { c.OrganizationID = id }
}

func labelled(labels map[string]string) func(*grants.Claim) {
	return func(c *grants.Claim) { c.NamespaceLabels = labels }
}

func names(names ...string) v1alpha1.GrantNamespaces {
	return v1alpha1.GrantNamespaces{Names: names}
}

func matching(labels map[string]string, expressions ...metav1.LabelSelectorRequirement) v1alpha1.GrantNamespaces {
	return v1alpha1.GrantNamespaces{Selector: &metav1.LabelSelector{MatchLabels: labels, MatchExpressions: expressions}}
}

func where(key string, operator metav1.LabelSelectorOperator, values ...string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: key, Operator: operator, Values: values}
}

const in, notIn, exists, doesNotExist = metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn,
	metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist

type grant = v1alpha1.Grant

type row struct {
	grants  []grant
	claim   grants.Claim
	allowed bool
}

func expectRows(t *testing.T, rows map[string]row) {
	t.Helper()
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			if got := grants.Allowed(environment(row.grants...), row.claim); got != row.allowed {
				t.Errorf("allowed: %v, want %v\ngrants: %+v\nclaim: %+v", got, row.allowed, row.grants, row.claim)
			}
		})
	}
}

func TestWhatIsNotGrantedIsDenied(t *testing.T) {
	expectRows(t, map[string]row{
		"no grants":                              {nil, alice(), false},
		"no grants, from the own namespace":      {nil, alice(from("pipes-system")), true},
		"from the own namespace, labels unknown": {nil, alice(from("pipes-system"), labelled(nil)), true},
		"from the own namespace, against all grants": {[]grant{{Namespaces: names("agents"), Slugs: []string{"slack"}}},
			alice(from("pipes-system"), organization("")), true},
		"a grant of nothing":                {[]grant{{}}, alice(), false},
		"a grant to an empty list of names": {[]grant{{Namespaces: names()}}, alice(), false},
	})
}

func TestGrantsByNameOfTheNamespace(t *testing.T) {
	expectRows(t, map[string]row{
		"the name":                      {[]grant{{Namespaces: names("agents")}}, alice(), true},
		"the name, labels unknown":      {[]grant{{Namespaces: names("agents")}}, alice(labelled(nil)), true},
		"one of the names":              {[]grant{{Namespaces: names("jobs", "agents")}}, alice(), true},
		"another name":                  {[]grant{{Namespaces: names("jobs")}}, alice(), false},
		"all":                           {[]grant{{Namespaces: names("*")}}, alice(), true},
		"all, beside names":             {[]grant{{Namespaces: names("jobs", "*")}}, alice(), true},
		"all, labels unknown":           {[]grant{{Namespaces: names("*")}}, alice(labelled(nil)), true},
		"no globs: prefix":              {[]grant{{Namespaces: names("agent*")}}, alice(), false},
		"no globs: suffix":              {[]grant{{Namespaces: names("*s")}}, alice(), false},
		"no globs: double star":         {[]grant{{Namespaces: names("**")}}, alice(), false},
		"no regular expressions":        {[]grant{{Namespaces: names(".*")}}, alice(), false},
		"a prefix":                      {[]grant{{Namespaces: names("agent")}}, alice(), false},
		"a longer name":                 {[]grant{{Namespaces: names("agents-2")}}, alice(), false},
		"another case":                  {[]grant{{Namespaces: names("Agents")}}, alice(), false},
		"with a space":                  {[]grant{{Namespaces: names("agents ")}}, alice(), false},
		"a cyrillic a":                  {[]grant{{Namespaces: names("\u0430gents")}}, alice(), false},
		"an empty name":                 {[]grant{{Namespaces: names("")}}, alice(), false},
		"the environment's name":        {[]grant{{Namespaces: names("default")}}, alice(), false},
		"a star as a claim's namespace": {[]grant{{Namespaces: names("agents")}}, alice(from("*")), false},
		"a prefix of the own namespace": {nil, alice(from("pipes")), false},
		"another case of its own":       {nil, alice(from("Pipes-System")), false},
		"longer than the own namespace": {nil, alice(from("pipes-system-2")), false},
	})
}

func TestGrantsByLabelOfTheNamespace(t *testing.T) {
	ai := map[string]string{"team": "ai"}
	expectRows(t, map[string]row{
		"a label":                   {[]grant{{Namespaces: matching(ai)}}, alice(), true},
		"all of the labels":         {[]grant{{Namespaces: matching(map[string]string{"team": "ai", "stage": "prod"})}}, alice(), true},
		"one of the labels differs": {[]grant{{Namespaces: matching(map[string]string{"team": "ai", "stage": "dev"})}}, alice(), false},
		"one of the labels is not there": {[]grant{{Namespaces: matching(map[string]string{"team": "ai", "zone": "eu"})}},
			alice(), false},
		"the label of another":        {[]grant{{Namespaces: matching(ai)}}, alice(labelled(map[string]string{"team": "hr"})), false},
		"the value in another case":   {[]grant{{Namespaces: matching(ai)}}, alice(labelled(map[string]string{"team": "AI"})), false},
		"the key in another case":     {[]grant{{Namespaces: matching(ai)}}, alice(labelled(map[string]string{"Team": "ai"})), false},
		"a namespace without labels":  {[]grant{{Namespaces: matching(ai)}}, alice(labelled(map[string]string{})), false},
		"labels unknown":              {[]grant{{Namespaces: matching(ai)}}, alice(labelled(nil)), false},
		"in":                          {[]grant{{Namespaces: matching(nil, where("team", in, "ml", "ai"))}}, alice(), true},
		"in others":                   {[]grant{{Namespaces: matching(nil, where("team", in, "ml"))}}, alice(), false},
		"not in":                      {[]grant{{Namespaces: matching(nil, where("team", notIn, "hr"))}}, alice(), true},
		"not in, but it is":           {[]grant{{Namespaces: matching(nil, where("team", notIn, "hr", "ai"))}}, alice(), false},
		"not in, without the label":   {[]grant{{Namespaces: matching(nil, where("zone", notIn, "eu"))}}, alice(), true},
		"not in, labels unknown":      {[]grant{{Namespaces: matching(nil, where("zone", notIn, "eu"))}}, alice(labelled(nil)), false},
		"exists":                      {[]grant{{Namespaces: matching(nil, where("team", exists))}}, alice(), true},
		"exists, but not here":        {[]grant{{Namespaces: matching(nil, where("zone", exists))}}, alice(), false},
		"does not exist":              {[]grant{{Namespaces: matching(nil, where("zone", doesNotExist))}}, alice(), true},
		"does not exist, but does":    {[]grant{{Namespaces: matching(nil, where("team", doesNotExist))}}, alice(), false},
		"does not exist, as unknown":  {[]grant{{Namespaces: matching(nil, where("zone", doesNotExist))}}, alice(labelled(nil)), false},
		"labels and expressions":      {[]grant{{Namespaces: matching(ai, where("stage", in, "prod"))}}, alice(), true},
		"labels, but not expressions": {[]grant{{Namespaces: matching(ai, where("stage", in, "dev"))}}, alice(), false},
		"expressions, but not labels": {[]grant{{Namespaces: matching(map[string]string{"team": "hr"}, where("stage", in, "prod"))}},
			alice(), false},
		"an empty selector":                     {[]grant{{Namespaces: matching(nil)}}, alice(), false},
		"an empty selector, of empty lists":     {[]grant{{Namespaces: matching(map[string]string{}, []metav1.LabelSelectorRequirement{}...)}}, alice(), false},
		"an operator that there is not":         {[]grant{{Namespaces: matching(nil, where("team", "Like", "ai"))}}, alice(), false},
		"an operator in another case":           {[]grant{{Namespaces: matching(nil, where("team", "in", "ai"))}}, alice(), false},
		"in nothing":                            {[]grant{{Namespaces: matching(nil, where("team", in))}}, alice(), false},
		"not in nothing":                        {[]grant{{Namespaces: matching(nil, where("team", notIn))}}, alice(), false},
		"exists with values":                    {[]grant{{Namespaces: matching(nil, where("team", exists, "ai"))}}, alice(), false},
		"a key that cannot be one":              {[]grant{{Namespaces: matching(nil, where("te am", doesNotExist))}}, alice(), false},
		"a broken expression beside a good one": {[]grant{{Namespaces: matching(ai, where("team", "Like", "ai"))}}, alice(), false},
		"a broken selector beside the name": {[]grant{{Namespaces: v1alpha1.GrantNamespaces{
			Names: []string{"agents"}, Selector: matching(nil, where("team", "Like")).Selector}}}, alice(), true},
		"the name, but not the labels": {[]grant{{Namespaces: v1alpha1.GrantNamespaces{
			Names: []string{"agents"}, Selector: matching(map[string]string{"team": "hr"}).Selector}}}, alice(), true},
		"the labels, but not the name": {[]grant{{Namespaces: v1alpha1.GrantNamespaces{
			Names: []string{"jobs"}, Selector: matching(ai).Selector}}}, alice(), true},
		"neither the name nor the labels": {[]grant{{Namespaces: v1alpha1.GrantNamespaces{
			Names: []string{"jobs"}, Selector: matching(map[string]string{"team": "hr"}).Selector}}}, alice(), false},
	})
}

func TestGrantsBySlugOrganizationAndUser(t *testing.T) {
	agents := names("agents")
	expectRows(t, map[string]row{
		"the slug":                     {[]grant{{Namespaces: agents, Slugs: []string{"slack", "github"}}}, alice(), true},
		"another slug":                 {[]grant{{Namespaces: agents, Slugs: []string{"slack"}}}, alice(), false},
		"the organization":             {[]grant{{Namespaces: agents, OrganizationIDs: []string{"org_b", "org_acme"}}}, alice(), true},
		"another organization":         {[]grant{{Namespaces: agents, OrganizationIDs: []string{"org_b"}}}, alice(), false},
		"the user":                     {[]grant{{Namespaces: agents, UserIDs: []string{"user_bob", "user_alice"}}}, alice(), true},
		"another user":                 {[]grant{{Namespaces: agents, UserIDs: []string{"user_bob"}}}, alice(), false},
		"any organization, none named": {[]grant{{Namespaces: agents}}, alice(organization("")), true},
		"organizations, none named":    {[]grant{{Namespaces: agents, OrganizationIDs: []string{"org_acme"}}}, alice(organization("")), false},
		"an empty organization in the list, none named": {[]grant{{Namespaces: agents, OrganizationIDs: []string{""}}},
			alice(organization("")), false},
		"empty slugs":         {[]grant{{Namespaces: agents, Slugs: []string{}}}, alice(), false},
		"empty organizations": {[]grant{{Namespaces: agents, OrganizationIDs: []string{}}}, alice(), false},
		"empty organizations, none named": {[]grant{{Namespaces: agents, OrganizationIDs: []string{}}},
			alice(organization("")), false},
		"empty users": {[]grant{{Namespaces: agents, UserIDs: []string{}}}, alice(), false},
		"all parts": {[]grant{{Namespaces: agents, Slugs: []string{"github"}, OrganizationIDs: []string{"org_acme"},
			UserIDs: []string{"user_alice"}}}, alice(), true},
		"all parts but the namespace": {[]grant{{Namespaces: names("jobs"), Slugs: []string{"github"},
			OrganizationIDs: []string{"org_acme"}, UserIDs: []string{"user_alice"}}}, alice(), false},
		"all parts but the slug": {[]grant{{Namespaces: agents, Slugs: []string{"slack"},
			OrganizationIDs: []string{"org_acme"}, UserIDs: []string{"user_alice"}}}, alice(), false},
		"all parts but the organization": {[]grant{{Namespaces: agents, Slugs: []string{"github"},
			OrganizationIDs: []string{"org_b"}, UserIDs: []string{"user_alice"}}}, alice(), false},
		"all parts but the user": {[]grant{{Namespaces: agents, Slugs: []string{"github"},
			OrganizationIDs: []string{"org_acme"}, UserIDs: []string{"user_bob"}}}, alice(), false},
		"a pattern is no slug":      {[]grant{{Namespaces: agents, Slugs: []string{"git*"}}}, alice(), false},
		"a pattern is no user":      {[]grant{{Namespaces: agents, UserIDs: []string{"user_*"}}}, alice(), false},
		"none is no user":           {[]grant{{Namespaces: agents, UserIDs: []string{"none"}}}, alice(), false},
		"none is no empty user":     {[]grant{{Namespaces: agents, UserIDs: []string{"none"}}}, alice(user("")), false},
		"any user is no empty user": {[]grant{{Namespaces: agents}}, alice(user("")), false},
		"any slug is no empty slug": {[]grant{{Namespaces: agents}}, alice(slug("")), false},
		"lists are not mixed up: a user among the organizations": {[]grant{{Namespaces: agents,
			OrganizationIDs: []string{"user_alice", "github"}}}, alice(), false},
	})
}

func TestNoneStandsForNoOrganization(t *testing.T) {
	of := func(list ...string) []grant { return []grant{{Namespaces: names("agents"), OrganizationIDs: list}} }
	expectRows(t, map[string]row{
		"none, none named":                             {of("none"), alice(organization("")), true},
		"none beside organizations, none named":        {of("org_acme", "none"), alice(organization("")), true},
		"none beside organizations, one of them named": {of("none", "org_acme"), alice(), true},
		"none, an organization named":                  {of("none"), alice(), false},
		"none, an organization named none":             {of("none"), alice(organization("none")), false},
		"none beside others, an organization none":     {of("org_acme", "none"), alice(organization("none")), false},
		"any, an organization named none":              {of("*"), alice(organization("none")), true},
		"none in another case, none named":             {of("None", "NONE"), alice(organization("")), false},
		"organizations, none named":                    {of("org_acme"), alice(organization("")), false},
		"any, none named":                              {of("*"), alice(organization("")), true},
		"any, an organization named":                   {of("*"), alice(), true},
	})
}

// A list that the CRD refuses can be stored all the same: before the CRD had the rule, or by a
// tool that bypasses it.
func TestListsThatAreNotGivenDeny(t *testing.T) {
	whole := func() grant {
		return grant{Namespaces: names("agents"), Slugs: []string{"*"}, OrganizationIDs: []string{"*"}, UserIDs: []string{"*"}}
	}
	fields := map[string]func(*grant) *[]string{
		"slugs":           func(g *grant) *[]string { return &g.Slugs },
		"organizationIDs": func(g *grant) *[]string { return &g.OrganizationIDs },
		"userIDs":         func(g *grant) *[]string { return &g.UserIDs },
	}
	lists := map[string][]string{
		"absent": nil, "empty": {}, "an empty item": {""}, "a star beside another": {"*", "x"}, "two stars": {"*", "*"}, "a double star": {"**"},
		"a star with a space": {"* "},
	}
	for field, of := range fields {
		for form, list := range lists {
			for name, claim := range map[string]grants.Claim{"an organization": alice(), "no organization": alice(organization(""))} {
				t.Run(field+" "+form+" for "+name, func(t *testing.T) {
					g := whole()
					if !grants.Allowed(stored(g), claim) {
						t.Fatal("denied with all lists given")
					}
					if *of(&g) = list; grants.Allowed(stored(g), claim) {
						t.Errorf("allowed by %+v", g)
					}
				})
			}
		}
	}
}

func TestLookAlikesAreDenied(t *testing.T) {
	lists := grant{Namespaces: names("agents"), Slugs: []string{"github"}, OrganizationIDs: []string{"org_acme"}, UserIDs: []string{"user_alice"}}
	if !grants.Allowed(environment(lists), alice()) {
		t.Fatal("the claim itself is denied")
	}
	for name, alike := range map[string]func(string) string{
		"in capitals":             strings.ToUpper,
		"with a capital":          func(s string) string { return strings.ToUpper(s[:1]) + s[1:] },
		"a prefix":                func(s string) string { return s[:len(s)-1] },
		"longer":                  func(s string) string { return s + "2" },
		"a suffix":                func(s string) string { return s[1:] },
		"with a space behind":     func(s string) string { return s + " " },
		"with a space before":     func(s string) string { return " " + s },
		"with a line break":       func(s string) string { return s + "\n" },
		"with a zero byte":        func(s string) string { return s + "\x00" },
		"with a zero-width space": func(s string) string { return s + "\u200b" },
		"with a soft hyphen":      func(s string) string { return s[:2] + "\u00ad" + s[2:] },
		"in full width":           func(s string) string { return string(rune(s[0])-'a'+'ａ') + s[1:] },
		"with a combining accent": func(s string) string { return s + "\u0301" },
		"with a cyrillic letter": func(s string) string {
			return strings.NewReplacer("a", "\u0430", "e", "\u0435", "i", "\u0456").Replace(s)
		},
		"quoted":  func(s string) string { return `"` + s + `"` },
		"a list":  func(s string) string { return s + ",x" },
		"a path":  func(s string) string { return "x/../" + s },
		"encoded": func(s string) string { return "%" + s[1:] },
		"a star":  func(string) string { return "*" },
		"empty":   func(string) string { return "" },
	} {
		for field, claim := range map[string]grants.Claim{
			"namespace":    alice(from(alike("agents"))),
			"slug":         alice(slug(alike("github"))),
			"organization": alice(organization(alike("org_acme"))),
			"user":         alice(user(alike("user_alice"))),
		} {
			t.Run(field+" "+name, func(t *testing.T) {
				if grants.Allowed(environment(lists), claim) {
					t.Errorf("allowed: %+v", claim)
				}
			})
		}
	}
}

func TestGrantsAreNotMixed(t *testing.T) {
	expectRows(t, map[string]row{
		"the namespace of one and the slug of another": {[]grant{
			{Namespaces: names("agents"), Slugs: []string{"slack"}},
			{Namespaces: names("jobs"), Slugs: []string{"github"}},
		}, alice(), false},
		"the user of one and the organization of another": {[]grant{
			{Namespaces: names("agents"), UserIDs: []string{"user_alice"}, OrganizationIDs: []string{"org_b"}},
			{Namespaces: names("agents"), UserIDs: []string{"user_bob"}, OrganizationIDs: []string{"org_acme"}},
		}, alice(), false},
		"the name of one and the labels of another": {[]grant{
			{Namespaces: names("agents"), Slugs: []string{"slack"}},
			{Namespaces: matching(map[string]string{"team": "hr"}), Slugs: []string{"github"}},
		}, alice(), false},
		"all namespaces for another user": {[]grant{
			{Namespaces: names("*"), UserIDs: []string{"user_bob"}},
			{Namespaces: names("jobs"), UserIDs: []string{"user_alice"}},
		}, alice(), false},
		"each of four grants lacks one part": {[]grant{
			{Namespaces: names("jobs"), Slugs: []string{"github"}, OrganizationIDs: []string{"org_acme"}, UserIDs: []string{"user_alice"}},
			{Namespaces: names("agents"), Slugs: []string{"slack"}, OrganizationIDs: []string{"org_acme"}, UserIDs: []string{"user_alice"}},
			{Namespaces: names("agents"), Slugs: []string{"github"}, OrganizationIDs: []string{"org_b"}, UserIDs: []string{"user_alice"}},
			{Namespaces: names("agents"), Slugs: []string{"github"}, OrganizationIDs: []string{"org_acme"}, UserIDs: []string{"user_bob"}},
		}, alice(), false},
		"the last of several fits": {[]grant{
			{Namespaces: names("agents"), Slugs: []string{"slack"}},
			// Broken: it matches nothing, and does not affect other grants.
			{Namespaces: matching(nil, where("team", "Like", "ai"))},
			{Namespaces: names("agents"), Slugs: []string{"github"}},
		}, alice(), true},
	})
}

// An additional grant never allows less, and an additional list in a grant never allows more.
func TestAllowedIsMonotone(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	for range 3000 {
		list := []grant{randomGrant(random), randomGrant(random)}
		claim := alice(
			from(pick(random, "agents", "jobs", "pipes-system")), slug(pick(random, "github", "slack")),
			user(pick(random, "user_alice", "user_bob")), organization(pick(random, "", "org_acme", "org_b")))
		one := grants.Allowed(environment(list[0]), claim)
		if two := grants.Allowed(environment(list...), claim); one && !two {
			t.Fatalf("%+v is allowed by %+v, and no more with %+v", claim, list[0], list[1])
		}
		for _, narrow := range []func(*grant){
			func(g *grant) { g.Slugs = []string{"slack"} },
			func(g *grant) { g.OrganizationIDs = []string{"org_b"} },
			func(g *grant) { g.UserIDs = []string{"user_bob"} },
		} {
			narrowed := grant{Namespaces: list[0].Namespaces}
			wide := grants.Allowed(environment(narrowed), claim)
			narrow(&narrowed)
			if grants.Allowed(environment(narrowed), claim) && !wide {
				t.Fatalf("%+v is allowed by %+v, and not without its list", claim, narrowed)
			}
		}
	}
}

func randomGrant(random *rand.Rand) grant {
	g := grant{Namespaces: names(pick(random, "agents", "jobs", "*"))}
	if random.Intn(2) == 0 {
		g.Namespaces = matching(map[string]string{"team": pick(random, "ai", "hr")})
	}
	if random.Intn(2) == 0 {
		g.Slugs = []string{pick(random, "github", "slack")}
	}
	if random.Intn(2) == 0 {
		g.OrganizationIDs = []string{pick(random, "org_acme", "org_b")}
	}
	if random.Intn(2) == 0 {
		g.UserIDs = []string{pick(random, "user_alice", "user_bob")}
	}
	return g
}

func pick(random *rand.Rand, values ...string) string {
	return values[random.Intn(len(values))]
}
