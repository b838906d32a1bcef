package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

const (
	// keyCheckInterval is how often the Secret with an API key is read again. The operator has no
	// right to watch Secrets that are not its own by name, and a rotated key should be in use
	// within a minute.
	keyCheckInterval = 30 * time.Second
	// longestKeyCheck is how far that grows while no PipesToken uses the PipesEnvironment, or the
	// operator may not read the Secret.
	longestKeyCheck = 5 * time.Minute
	// keyCheckGap is the least time between two such reads on average, over all PipesEnvironments:
	// any tenant can create them.
	keyCheckGap = 100 * time.Millisecond
)

// nextKeyCheck is how long to wait for the next check of an environment.
func (c *Connections) nextKeyCheck(name types.NamespacedName, used bool) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	state, ok := c.known[name]
	if !ok {
		return keyCheckInterval
	}
	if used && state.problem.reason != v1alpha1.APIKeyForbiddenReason {
		state.quiet = 0
	} else {
		state.quiet++
	}
	wait := min(keyCheckInterval<<min(max(state.quiet-1, 0), 8), longestKeyCheck)
	return max(wait, time.Duration(len(c.known))*keyCheckGap)
}

// isUsed says whether a PipesToken that the caches show uses an environment.
func (r *PipesEnvironmentReconciler) isUsed(ctx context.Context, environment *v1alpha1.PipesEnvironment) (bool, error) {
	tokens := &v1alpha1.PipesTokenList{}
	name := client.ObjectKeyFromObject(environment).String()
	if err := r.Client.List(ctx, tokens, client.MatchingFields{environmentIndex: name}, client.Limit(1),
		client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return false, fmt.Errorf("listing the PipesTokens that use it: %w", err)
	}
	return len(tokens.Items) > 0, nil
}
