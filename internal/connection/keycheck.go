package connection

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

const (
	// keyCheckInterval is how often the Secret with an API key is read again. The operator
	// watches only the metadata of its own Secrets, and for API keys it has only the right to
	// get. A rotated key should be in use within a minute.
	keyCheckInterval = 30 * time.Second
	// longestKeyCheck is the maximum of that interval. The interval grows while no PipesToken
	// uses the PipesEnvironment, or while the operator may not read the Secret.
	longestKeyCheck = 5 * time.Minute
	// keyCheckGap is the minimum time between two of these reads on average, over all
	// PipesEnvironments. The limit is needed because any tenant can create PipesEnvironments.
	keyCheckGap = 100 * time.Millisecond
)

// NextKeyCheck returns the delay until the next check of an environment.
func (r *Registry) NextKeyCheck(name types.NamespacedName, used bool) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	state, ok := r.known[name]
	if !ok {
		return keyCheckInterval
	}
	if used && state.problem.Reason != v1alpha1.APIKeyForbiddenReason {
		state.quiet = 0
	} else {
		state.quiet++
	}
	wait := min(keyCheckInterval<<min(max(state.quiet-1, 0), 8), longestKeyCheck)
	return max(wait, time.Duration(len(r.known))*keyCheckGap)
}
