package pipestoken

import (
	"testing"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// The API server refuses a grant without userIDs. But the object may be older than the CRD, so
// the grant may already be stored.
func TestAStoredGrantWithoutUsersIsNoReasonToFetch(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.Grant)
		want   action
	}{
		"as it is":     {func(*v1alpha1.Grant) {}, fetch},
		"no users":     {func(g *v1alpha1.Grant) { g.UserIDs = nil }, withdraw},
		"empty users":  {func(g *v1alpha1.Grant) { g.UserIDs = []string{} }, withdraw},
		"another user": {func(g *v1alpha1.Grant) { g.UserIDs = []string{"somebody-else"} }, withdraw},
		"no slugs":     {func(g *v1alpha1.Grant) { g.Slugs = nil }, withdraw},
		"no orgs":      {func(g *v1alpha1.Grant) { g.OrganizationIDs = nil }, withdraw},
		"users from a label that is missing": {func(g *v1alpha1.Grant) {
			g.UserIDs, g.UserIDsFrom = nil, &v1alpha1.NamespaceLabelSource{NamespaceLabel: "user-id"}
		}, withdraw},
		"a list beside a label": {func(g *v1alpha1.Grant) { g.UserIDsFrom = &v1alpha1.NamespaceLabelSource{NamespaceLabel: "user-id"} }, withdraw},
		"no owners":             {func(g *v1alpha1.Grant) { g.ConnectionOwners = []v1alpha1.ConnectionOwner{} }, withdraw},
		"nothing given":         {func(g *v1alpha1.Grant) { g.Slugs, g.OrganizationIDs, g.UserIDs = nil, nil, nil }, withdraw},
	} {
		t.Run(name, func(t *testing.T) {
			reconciler, request := quiet(t)
			stored := reconciler.Client.(*caches)
			// The annotation makes a fetch due.
			stored.token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"}
			test.change(&stored.environment.Spec.Grants[0])
			token := &v1alpha1.PipesToken{}
			if err := reconciler.Client.Get(t.Context(), request.NamespacedName, token); err != nil {
				t.Fatal(err)
			}
			seen, err := reconciler.observe(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			if got := decide(seen); got.action != test.want {
				t.Errorf("got %q because of %+v, want %q", got.action, got.finding, test.want)
			}
		})
	}
}
