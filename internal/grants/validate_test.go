package grants_test

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/grants"
)

func TestValidateAcceptsEverySelectorThatCanBeRead(t *testing.T) {
	if err := grants.Validate(environment(
		grant{Namespaces: names("agents")},
		grant{Namespaces: matching(map[string]string{"example.com/team": "ai", "empty": ""})},
		grant{Namespaces: matching(nil, where("a", in, "b", ""), where("a", notIn, "b"), where("a", exists), where("a", doesNotExist))},
		grant{Namespaces: matching(nil)}, // the CRD refuses it; it is valid, and matches nothing
	)); err != nil {
		t.Errorf("got %v", err)
	}
	if err := grants.Validate(environment()); err != nil {
		t.Errorf("without grants: got %v", err)
	}
}

func TestValidateNamesThePlaceOfEachMistake(t *testing.T) {
	const long = "a-name-of-more-than-sixty-three-characters-cannot-be-one-of-a-label"
	for name, test := range map[string]struct {
		grants []grant
		want   []string
	}{
		"operator": {[]grant{{Namespaces: matching(nil, where("team", "Like", "ai"))}},
			[]string{`spec.grants[0].namespaces.selector.matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator`}},
		"values missing": {[]grant{{Namespaces: matching(nil, where("team", in))}},
			[]string{"spec.grants[0].namespaces.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"}},
		"values too many": {[]grant{{Namespaces: matching(nil, where("team", exists, "ai"))}},
			[]string{"spec.grants[0].namespaces.selector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"}},
		"key":            {[]grant{{Namespaces: matching(nil, where("te am", exists))}}, []string{`spec.grants[0].namespaces.selector.matchExpressions[0].key: Invalid value: "te am"`}},
		"value":          {[]grant{{Namespaces: matching(nil, where("team", in, "ok", "not ok"))}}, []string{`spec.grants[0].namespaces.selector.matchExpressions[0].values[1]: Invalid value: "not ok"`}},
		"value too long": {[]grant{{Namespaces: matching(nil, where("team", in, long))}}, []string{"matchExpressions[0].values[0]", "must be no more than 63 bytes"}},
		"label's key":    {[]grant{{Namespaces: matching(map[string]string{"a/b/c": "d"})}}, []string{`spec.grants[0].namespaces.selector.matchLabels: Invalid value: "a/b/c"`}},
		"label's value":  {[]grant{{Namespaces: matching(map[string]string{"team": "a i"})}}, []string{`spec.grants[0].namespaces.selector.matchLabels: Invalid value: "a i"`}},
		"several": {[]grant{
			{Namespaces: names("agents")},
			{Namespaces: matching(nil, where("team", exists), where("team", "Like"))},
			{Namespaces: matching(map[string]string{"team": "ai"})},
			{Namespaces: matching(nil, where("team", notIn))},
		}, []string{"spec.grants[1].namespaces.selector.matchExpressions[1].operator", "; ", "spec.grants[3].namespaces.selector.matchExpressions[0].values"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := grants.Validate(environment(test.grants...))
			if err == nil {
				t.Fatal("nothing found")
			}
			rest := err.Error()
			for _, want := range test.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("got %q, which lacks %q", err, want)
				}
				rest = after
			}
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func TestValidateNamesEachListThatIsMissing(t *testing.T) {
	given := stored(
		grant{Namespaces: names("agents"), Slugs: []string{"*"}, OrganizationIDs: []string{"*"}, UserIDs: []string{"*"}},
		grant{Namespaces: names("agents"), Slugs: []string{}, OrganizationIDs: nil},
		grant{Namespaces: names("agents"), Slugs: []string{"a", "*"}, OrganizationIDs: []string{"*", "none"}, UserIDs: []string{"*", "*"}},
	)
	const want = `spec.grants[1].organizationIDs: Required value: list IDs, write ["*"] for any organization and none, or use organizationIDsFrom; ` +
		`spec.grants[1].slugs: Required value: list slugs, or write ["*"] for any; ` +
		`spec.grants[1].userIDs: Required value: list IDs, write ["*"] for any, or use userIDsFrom; ` +
		`spec.grants[2].organizationIDs: Invalid value: "*": must be alone in its list; ` +
		`spec.grants[2].slugs: Invalid value: "*": must be alone in its list; ` +
		`spec.grants[2].userIDs: Invalid value: "*": must be alone in its list`
	if err := grants.Validate(given); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestValidateNamesEachMistakeOfLabelsAndOwners(t *testing.T) {
	whole := func(change func(*grant)) grant {
		g := grant{Namespaces: names("agents"), Slugs: []string{"*"}, OrganizationIDs: []string{"*"}, UserIDs: []string{"*"}}
		change(&g)
		return g
	}
	labelled := func(change func(*grant)) grant {
		return whole(func(g *grant) { g.UserIDs, g.UserIDsFrom = nil, fromLabel(userLabel); change(g) })
	}
	for name, test := range map[string]struct {
		grant grant
		want  string
	}{
		"a label":               {labelled(func(*grant) {}), ""},
		"an empty list beside":  {labelled(func(g *grant) { g.UserIDs = []string{} }), ""},
		"a key without domain":  {labelled(func(g *grant) { g.UserIDsFrom = fromLabel("user") }), ""},
		"both labels":           {labelled(func(g *grant) { g.OrganizationIDs, g.OrganizationIDsFrom = nil, fromLabel("o") }), ""},
		"both owners":           {whole(func(g *grant) { g.ConnectionOwners = []v1alpha1.ConnectionOwner{"Organization", "User"} }), ""},
		"a list beside":         {labelled(func(g *grant) { g.UserIDs = []string{"a"} }), "spec.grants[0].userIDsFrom: Forbidden: userIDs and userIDsFrom exclude each other: remove one of them"},
		"organizations beside":  {whole(func(g *grant) { g.OrganizationIDsFrom = fromLabel("o") }), "spec.grants[0].organizationIDsFrom: Forbidden: organizationIDs and organizationIDsFrom exclude each other: remove one of them"},
		"no key":                {labelled(func(g *grant) { g.UserIDsFrom = fromLabel("") }), "spec.grants[0].userIDsFrom.namespaceLabel: Required value: name the key of a label"},
		"a key that cannot be":  {labelled(func(g *grant) { g.UserIDsFrom = fromLabel("a b") }), `spec.grants[0].userIDsFrom.namespaceLabel: Invalid value: "a b"`},
		"a key of three parts":  {labelled(func(g *grant) { g.UserIDsFrom = fromLabel("a/b/c") }), `spec.grants[0].userIDsFrom.namespaceLabel: Invalid value: "a/b/c"`},
		"no owners":             {whole(func(g *grant) { g.ConnectionOwners = []v1alpha1.ConnectionOwner{} }), "spec.grants[0].connectionOwners: Required value: list User, Organization or both"},
		"an owner that is none": {whole(func(g *grant) { g.ConnectionOwners = []v1alpha1.ConnectionOwner{"User", "*"} }), `spec.grants[0].connectionOwners[1]: Unsupported value: "*": supported values: "User", "Organization"`},
	} {
		t.Run(name, func(t *testing.T) {
			switch err := grants.Validate(stored(test.grant)); {
			case (err == nil) != (test.want == ""):
				t.Errorf("got %v, want %q", err, test.want)
			case err != nil && !strings.HasPrefix(err.Error(), test.want):
				t.Errorf("got %q, want %q", err, test.want)
			}
		})
	}
}

// A condition has this message. If the message changed by itself, the status would be written
// again and again.
func TestValidateSaysTheSameEachTime(t *testing.T) {
	labels := map[string]string{}
	for i := range 20 {
		labels[fmt.Sprintf("bad key %d", i)] = "bad value"
	}
	given := environment(grant{Namespaces: matching(labels)})
	want := grants.Validate(given).Error()
	for range 50 {
		if got := grants.Validate(given).Error(); got != want {
			t.Fatalf("got %q, want %q again", got, want)
		}
	}
}

// Validate reports a mistake if, and only if, the selector cannot be used.
func TestValidateAgreesWithTheSelector(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	parts := []string{"team", "example.com/team", "a", "", "te am", "a/b/c", "-a", "a_b.c", strings.Repeat("a", 64), strings.Repeat("a", 63), "A"}
	operators := []metav1.LabelSelectorOperator{in, notIn, exists, doesNotExist, "Like", "", "in", "Gt"}
	broken := 0
	for range 3000 {
		namespaces := matching(map[string]string{})
		for range random.Intn(3) {
			namespaces.Selector.MatchLabels[pick(random, parts...)] = pick(random, parts...)
		}
		for range random.Intn(3) {
			expression := where(pick(random, parts...), operators[random.Intn(len(operators))])
			for range random.Intn(3) {
				expression.Values = append(expression.Values, pick(random, parts...))
			}
			namespaces.Selector.MatchExpressions = append(namespaces.Selector.MatchExpressions, expression)
		}
		_, unreadable := metav1.LabelSelectorAsSelector(namespaces.Selector)
		mistake := grants.Validate(environment(grant{Namespaces: namespaces}))
		if (unreadable == nil) != (mistake == nil) {
			t.Fatalf("selector %+v: %v, but found %v", namespaces.Selector, unreadable, mistake)
		}
		if mistake != nil {
			broken++
		}
	}
	if broken < 300 || broken > 2700 {
		t.Errorf("%d of 3000 selectors were broken: hardly a test", broken)
	}
}
