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
	// apiKey contains the same word as all tokens of the simulator: "canary". Where the word is
	// found outside of the data of a Secret, a secret has leaked.
	apiKey         = "sk_test_canary_first"
	keySecret      = "workos-api-key"
	keyEntry       = "api-key"
	strangers      = "stranger" // the owner of everything that is not ours
	strangeKey     = "theirs"
	strangersValue = "canary_of_a_stranger"
)

// site is a control plane and a WorkOS. Scenarios add replicas to it.
type site struct {
	plane         *controlPlane
	upstream      *upstream
	operatorToken string
	// history contains every version of everything that was stored.
	history *history

	mu sync.Mutex
	// replicas are all replicas so far. strange are the names of the strangers' Secrets.
	replicas []*replica
	strange  []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{plane: startControlPlane(t), upstream: newUpstream(t)}
	var err error
	if s.operatorToken, err = s.plane.OperatorToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.history = keepHistory(t, s.plane.etcd)
	return s
}

// idOf is the connection that a PipesToken asks for.
func idOf(token *v1alpha1.PipesToken) workossim.ID {
	return workossim.ID{Slug: token.Spec.Slug, UserID: token.Spec.UserID, OrganizationID: token.Spec.OrganizationID}
}
