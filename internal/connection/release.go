package connection

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// Epoch returns the epoch of the environment's client. It changes when attempts that were held
// back may be made. Zero: the environment has no client.
func (r *Registry) Epoch(name types.NamespacedName) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if state, ok := r.known[name]; ok && state.client != nil {
		return state.client.Epoch()
	}
	return 0
}

// OnRelease registers a function that is called when attempts that were held back may be made.
// of says which PipesTokens of the environment it concerns, see heldBackFor.
func (r *Registry) OnRelease(recovered func(environment types.NamespacedName, of workos.Request)) {
	r.Upstream.OnRecovery(func(owner string, of workos.Request) {
		namespace, name, _ := strings.Cut(owner, "/")
		recovered(types.NamespacedName{Namespace: namespace, Name: name}, of)
	})
}
