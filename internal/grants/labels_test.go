package grants_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/grants"
)

// Labels with the IDs of a namespace.
const userLabel, organizationLabel = "pipes.example.com/user-id", "pipes.example.com/organization-id"

func fromLabel(key string) *v1alpha1.NamespaceLabelSource {
	return &v1alpha1.NamespaceLabelSource{NamespaceLabel: key}
}

func owner(owner v1alpha1.ConnectionOwner) func(*grants.Claim) {
	return func(c *grants.Claim) { c.Owner = owner }
}

// with adds labels to the namespace of a claim.
func with(pairs ...string) func(*grants.Claim) {
	return func(c *grants.Claim) {
		c.NamespaceLabels = maps.Clone(c.NamespaceLabels)
		for i := 0; i < len(pairs); i += 2 {
			c.NamespaceLabels[pairs[i]] = pairs[i+1]
		}
	}
}

func TestGrantsOfTheUserInALabelOfTheNamespace(t *testing.T) {
	one := []grant{{Namespaces: names("*"), UserIDsFrom: fromLabel(userLabel)}}
	expectRows(t, map[string]row{
		"the user of the label":          {one, alice(with(userLabel, "user_alice")), true},
		"another user":                   {one, alice(with(userLabel, "user_bob")), false},
		"the label of a third user":      {one, alice(user("user_bob"), with(userLabel, "user_alice")), false},
		"no label":                       {one, alice(), false},
		"no labels at all":               {one, alice(labelled(map[string]string{})), false},
		"labels unknown":                 {one, alice(labelled(nil)), false},
		"an empty value":                 {one, alice(with(userLabel, "")), false},
		"an empty value for no user":     {one, alice(user(""), with(userLabel, "")), false},
		"no label for no user":           {one, alice(user("")), false},
		"another case":                   {one, alice(with(userLabel, "USER_ALICE")), false},
		"a prefix":                       {one, alice(with(userLabel, "user_alic")), false},
		"a longer value":                 {one, alice(with(userLabel, "user_alice2")), false},
		"a star is no wildcard":          {one, alice(with(userLabel, "*")), false},
		"none is a user like any other":  {one, alice(user("none"), with(userLabel, "none")), true},
		"none does not stand for others": {one, alice(with(userLabel, "none")), false},
		"a key in another case":          {one, alice(with("pipes.example.com/User-ID", "user_alice")), false},
		"a key without its domain":       {one, alice(with("user-id", "user_alice")), false},
		"another key":                    {one, alice(with(organizationLabel, "user_alice")), false},
		"the other namespaces are not meant": {[]grant{{Namespaces: names("jobs"), UserIDsFrom: fromLabel(userLabel)}},
			alice(with(userLabel, "user_alice")), false},
		"another slug": {[]grant{{Namespaces: names("*"), Slugs: []string{"slack"}, UserIDsFrom: fromLabel(userLabel)}},
			alice(with(userLabel, "user_alice")), false},
		"a list beside it": {[]grant{{Namespaces: names("*"), UserIDs: []string{"user_alice"}, UserIDsFrom: fromLabel(userLabel)}},
			alice(with(userLabel, "user_alice")), false},
		"any beside it": {[]grant{{Namespaces: names("*"), UserIDs: []string{"*"}, UserIDsFrom: fromLabel(userLabel)}},
			alice(with(userLabel, "user_alice")), false},
		"a source without a key":            {[]grant{{Namespaces: names("*"), UserIDsFrom: fromLabel("")}}, alice(), false},
		"in the environment's own":          {one, alice(from("pipes-system")), true},
		"the name of the namespace":         {[]grant{{Namespaces: names("*"), UserIDsFrom: fromLabel("kubernetes.io/metadata.name")}}, alice(user("agents")), true},
		"a selector and a label":            {[]grant{{Namespaces: matching(map[string]string{"team": "ai"}), UserIDsFrom: fromLabel(userLabel)}}, alice(with(userLabel, "user_alice")), true},
		"a label, but not the selector":     {[]grant{{Namespaces: matching(map[string]string{"team": "hr"}), UserIDsFrom: fromLabel(userLabel)}}, alice(with(userLabel, "user_alice")), false},
		"the label of one, the user of two": {append(slices.Clone(one), grant{Namespaces: names("*"), UserIDs: []string{"user_bob"}}), alice(), false},
	})
}

func TestGrantsOfTheOrganizationInALabelOfTheNamespace(t *testing.T) {
	one := []grant{{Namespaces: names("*"), OrganizationIDsFrom: fromLabel(organizationLabel)}}
	both := []grant{{Namespaces: names("*"), OrganizationIDsFrom: fromLabel(organizationLabel), UserIDsFrom: fromLabel(userLabel)}}
	expectRows(t, map[string]row{
		"the organization of the label":         {one, alice(with(organizationLabel, "org_acme")), true},
		"another organization":                  {one, alice(with(organizationLabel, "org_b")), false},
		"no label":                              {one, alice(), false},
		"an empty value":                        {one, alice(with(organizationLabel, "")), false},
		"labels unknown":                        {one, alice(labelled(nil)), false},
		"no organization, no label":             {one, alice(organization("")), false},
		"no organization, an empty value":       {one, alice(organization(""), with(organizationLabel, "")), false},
		"no organization, the label none":       {one, alice(organization(""), with(organizationLabel, "none")), false},
		"no organization, a star":               {one, alice(organization(""), with(organizationLabel, "*")), false},
		"an organization named none":            {one, alice(organization("none"), with(organizationLabel, "none")), false},
		"the label none and an organization":    {one, alice(with(organizationLabel, "none")), false},
		"a star is no wildcard":                 {one, alice(with(organizationLabel, "*")), false},
		"a list beside it":                      {[]grant{{Namespaces: names("*"), OrganizationIDs: []string{"org_acme"}, OrganizationIDsFrom: fromLabel(organizationLabel)}}, alice(with(organizationLabel, "org_acme")), false},
		"none beside it":                        {[]grant{{Namespaces: names("*"), OrganizationIDs: []string{"none"}, OrganizationIDsFrom: fromLabel(organizationLabel)}}, alice(organization("")), false},
		"both labels":                           {both, alice(with(organizationLabel, "org_acme", userLabel, "user_alice")), true},
		"both labels, the user differs":         {both, alice(with(organizationLabel, "org_acme", userLabel, "user_bob")), false},
		"both labels, the organization differs": {both, alice(with(organizationLabel, "org_b", userLabel, "user_alice")), false},
		"both labels, exchanged":                {both, alice(with(organizationLabel, "user_alice", userLabel, "org_acme")), false},
		"both labels, one missing":              {both, alice(with(userLabel, "user_alice")), false},
	})
}

func TestGrantsOfConnectionOwners(t *testing.T) {
	const ofUser, ofOrganization = v1alpha1.ConnectionOwnerUser, v1alpha1.ConnectionOwnerOrganization
	listing := func(owners ...v1alpha1.ConnectionOwner) []grant {
		return []grant{{Namespaces: names("agents"), ConnectionOwners: owners}}
	}
	expectRows(t, map[string]row{
		"absent, a user's":                     {listing(), alice(owner(ofUser)), true},
		"absent, an organization's":            {listing(), alice(owner(ofOrganization)), false},
		"absent, no owner in the claim":        {listing(), alice(owner("")), true},
		"users, a user's":                      {listing(ofUser), alice(owner(ofUser)), true},
		"users, an organization's":             {listing(ofUser), alice(owner(ofOrganization)), false},
		"organizations, a user's":              {listing(ofOrganization), alice(owner(ofUser)), false},
		"organizations, no owner in the claim": {listing(ofOrganization), alice(owner("")), false},
		"organizations, an organization's":     {listing(ofOrganization), alice(owner(ofOrganization)), true},
		"both, a user's":                       {listing(ofUser, ofOrganization), alice(owner(ofUser)), true},
		"both, an organization's":              {listing(ofUser, ofOrganization), alice(owner(ofOrganization)), true},
		"empty, a user's":                      {[]grant{{Namespaces: names("agents"), ConnectionOwners: []v1alpha1.ConnectionOwner{}}}, alice(owner(ofUser)), false},
		"empty, an organization's":             {[]grant{{Namespaces: names("agents"), ConnectionOwners: []v1alpha1.ConnectionOwner{}}}, alice(owner(ofOrganization)), false},
		"a star is no owner":                   {listing("*"), alice(owner(ofOrganization)), false},
		"another case":                         {listing("organization"), alice(owner(ofOrganization)), false},
		"an empty owner":                       {listing(""), alice(owner("")), false},
		"an owner that there is not":           {listing(ofUser, ofOrganization), alice(owner("Team")), false},
		"everything but the owner": {[]grant{{
			Namespaces: names("*"), Slugs: []string{"*"}, OrganizationIDs: []string{"*"}, UserIDs: []string{"*"},
		}}, alice(owner(ofOrganization)), false},
		"the owner of one, the slug of another": {append(listing(ofUser),
			grant{Namespaces: names("agents"), Slugs: []string{"slack"}, ConnectionOwners: []v1alpha1.ConnectionOwner{ofOrganization}}), alice(owner(ofOrganization)), false},
		"in the environment's own namespace": {nil, alice(from("pipes-system"), owner(ofOrganization)), true},
	})
}

func TestDependsOnLabels(t *testing.T) {
	for name, test := range map[string]struct {
		grants []grant
		want   bool
	}{
		"no grants":               {nil, false},
		"names":                   {[]grant{{Namespaces: names("agents")}, {Namespaces: names("*")}}, false},
		"a selector":              {[]grant{{Namespaces: matching(map[string]string{"team": "ai"})}}, true},
		"a selector in the last":  {[]grant{{Namespaces: names("agents")}, {Namespaces: matching(nil, where("team", exists))}}, true},
		"a selector beside names": {[]grant{{Namespaces: v1alpha1.GrantNamespaces{Names: []string{"a"}, Selector: &metav1.LabelSelector{}}}}, true},
		"a user":                  {[]grant{{Namespaces: names("*"), UserIDsFrom: fromLabel("a")}}, true},
		"an organization":         {[]grant{{Namespaces: names("*")}, {Namespaces: names("*"), OrganizationIDsFrom: fromLabel("a")}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := grants.DependsOnLabels(environment(test.grants...)); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestMismatchesNameTheLabelsOfTheOwnNamespace(t *testing.T) {
	byUser := grant{Namespaces: names("agents"), UserIDsFrom: fromLabel(userLabel)}
	both := grant{Namespaces: names("agents"), UserIDsFrom: fromLabel(userLabel), OrganizationIDsFrom: fromLabel(organizationLabel)}
	noUser, otherUser := grants.Mismatch{Subject: grants.SubjectUser, Label: userLabel}, grants.Mismatch{Subject: grants.SubjectUser, Label: userLabel, Value: "user_bob"}
	noOrganization := grants.Mismatch{Subject: grants.SubjectOrganization, Label: organizationLabel}
	var many []grant
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		many = append(many, grant{Namespaces: names("*"), UserIDsFrom: fromLabel(key)})
	}
	for name, test := range map[string]struct {
		grants []grant
		claim  grants.Claim
		want   []grants.Mismatch
	}{
		"no grants":                         {nil, alice(), nil},
		"lists alone":                       {[]grant{{Namespaces: names("agents"), UserIDs: []string{"user_bob"}}}, alice(), nil},
		"a label that is missing":           {[]grant{byUser}, alice(), []grants.Mismatch{noUser}},
		"a label that is empty":             {[]grant{byUser}, alice(with(userLabel, "")), []grants.Mismatch{noUser}},
		"a label of another user":           {[]grant{byUser}, alice(with(userLabel, "user_bob")), []grants.Mismatch{otherUser}},
		"a label that has the user":         {[]grant{byUser}, alice(with(userLabel, "user_alice"), slug("slack")), nil},
		"the same label in two grants":      {[]grant{byUser, byUser, both}, alice(), []grants.Mismatch{noUser, noOrganization}},
		"no organization":                   {[]grant{both}, alice(organization(""), with(userLabel, "user_alice")), []grants.Mismatch{noOrganization}},
		"a grant for another namespace":     {[]grant{{Namespaces: names("jobs"), UserIDsFrom: fromLabel(userLabel)}}, alice(), nil},
		"a grant for namespaces by label":   {[]grant{{Namespaces: matching(map[string]string{"team": "ai"}), UserIDsFrom: fromLabel(userLabel)}}, alice(), []grants.Mismatch{noUser}},
		"a selector that does not match":    {[]grant{{Namespaces: matching(map[string]string{"team": "hr"}), UserIDsFrom: fromLabel(userLabel)}}, alice(), nil},
		"labels that are not known":         {[]grant{byUser}, alice(labelled(nil)), nil},
		"more labels than a message can be": {many, alice(), []grants.Mismatch{{Subject: "user", Label: "a"}, {Subject: "user", Label: "b"}, {Subject: "user", Label: "c"}, {Subject: "user", Label: "d"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := grants.Mismatches(environment(test.grants...), test.claim); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// A tenant could try values until the message changes, and so learn the lists of a grant.
func TestMismatchesDoNotDependOnLists(t *testing.T) {
	for _, claim := range []grants.Claim{alice(), alice(slug("slack"), organization("org_b"), owner(v1alpha1.ConnectionOwnerOrganization))} {
		bare := grants.Mismatches(stored(grant{Namespaces: names("agents"), UserIDsFrom: fromLabel(userLabel)}), claim)
		for name, narrow := range map[string]grant{
			"slugs":         {Slugs: []string{"slack"}},
			"organizations": {OrganizationIDs: []string{"org_b"}},
			"owners":        {ConnectionOwners: []v1alpha1.ConnectionOwner{v1alpha1.ConnectionOwnerOrganization}},
		} {
			narrow.Namespaces, narrow.UserIDsFrom = names("agents"), fromLabel(userLabel)
			if got := grants.Mismatches(stored(narrow), claim); !reflect.DeepEqual(got, bare) {
				t.Errorf("%s: got %+v, want %+v", name, got, bare)
			}
		}
	}
}
