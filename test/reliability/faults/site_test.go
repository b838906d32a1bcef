//go:build reliability

package faults_test

import (
	"sync"
	"testing"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

const (
	v1alpha1Group = "pipes.workos.com"
	// apiKey has the word in it that all tokens of the simulator have: whoever finds it anywhere has found a leak.
	apiKey         = "sk_test_canary_first"
	keySecret      = "workos-api-key"
	keyEntry       = "api-key"
	strangers      = "stranger" // who owns whatever is not ours
	strangeKey     = "theirs"
	strangersValue = "canary_of_a_stranger"
)

// site is a control plane and a WorkOS, on which scenarios install replicas.
type site struct {
	plane         *controlPlane
	upstream      *upstream
	operatorToken string
	// history is everything that was ever stored.
	history *history

	mu sync.Mutex
	// replicas are all that there ever were, and strange the names of all Secrets of strangers.
	replicas []*replica
	strange  []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{plane: startControlPlane(t), upstream: newUpstream(t)}
	s.operatorToken = s.plane.operatorToken(t)
	s.history = keepHistory(t, s.plane.etcd)
	return s
}

// idOf is whom a PipesToken asks for.
func idOf(token *v1alpha1.PipesToken) workossim.ID {
	return workossim.ID{Slug: token.Spec.Slug, UserID: token.Spec.UserID, OrganizationID: token.Spec.OrganizationID}
}
