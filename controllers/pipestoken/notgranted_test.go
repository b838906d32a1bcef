package pipestoken

import (
	"testing"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/grants"
)

func TestNotGrantedSaysWhatIsAskedFor(t *testing.T) {
	const (
		refused = `No grant of PipesEnvironment "default" in namespace "pipes-system" allows namespace "agents" to ask for `
		advice  = `: its owner can add one to spec.grants`
	)
	for name, test := range map[string]struct {
		change func(*observation)
		want   string
	}{
		"a user's connection": {func(*observation) {}, refused + `slug "github", user "user_1" and no organization` + advice},
		"in an organization": {func(o *observation) { o.token.Spec.OrganizationID = "org_1" },
			refused + `slug "github", user "user_1" and organization "org_1"` + advice},
		"an organization's connection": {func(o *observation) {
			o.token.Spec.OrganizationID, o.token.Spec.ConnectionOwner = "org_1", v1alpha1.ConnectionOwnerOrganization
		}, refused + `the organization's connection with slug "github", user "user_1" and organization "org_1"` + advice},
		"without a label": {func(o *observation) {
			o.origin.mismatches = []grants.Mismatch{{Subject: grants.SubjectUser, Label: "user-id"}}
		}, refused + `slug "github", user "user_1" and no organization` + advice +
			`. A grant takes the user from label "user-id" of the namespace: the namespace has no such label, or its value is empty`},
		"with the labels of others": {func(o *observation) {
			o.origin.mismatches = []grants.Mismatch{
				{Subject: grants.SubjectUser, Label: "user-id", Value: "user_2"},
				{Subject: grants.SubjectOrganization, Label: "org-id", Value: "org_2"},
			}
		}, refused + `slug "github", user "user_1" and no organization` + advice +
			`. A grant takes the user from label "user-id" of the namespace: its value is "user_2"` +
			`. A grant takes the organization from label "org-id" of the namespace: its value is "org_2"`},
	} {
		t.Run(name, func(t *testing.T) {
			seen := healthy()
			seen.origin.granted = false
			test.change(&seen)
			if got := grantMissing(seen); got.Reason != v1alpha1.NotGrantedReason || got.Message != test.want {
				t.Errorf("got  %s\nwant %s", got.Message, test.want)
			}
		})
	}
}
