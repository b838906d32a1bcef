package connection

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// Registry holds, for each PipesEnvironment, the client that calls WorkOS with its API key.
// The PipesEnvironmentReconciler keeps the clients up to date, and the PipesTokenReconciler uses
// them. API keys are in no cache: each Secret with an API key is read live, by name.
type Registry struct {
	// Reader reads the Secrets with API keys from the API server, without a cache.
	Reader client.Reader
	// Upstream makes the clients.
	Upstream *workos.Upstream
	// AllowedHosts are the hosts that API keys may be sent to: "host", which stands for the
	// default port of the scheme, or "host:port".
	AllowedHosts []string
	// AllowInsecure allows http. It is for development only: with http the API key crosses the
	// network unencrypted.
	AllowInsecure bool
	// Share is the fraction of each requestsPerMinute that this process may use. Zero: all of
	// it.
	Share float64
	// Changed is called with the name of an environment that must be reconciled, because its
	// conditions may have changed.
	Changed func(types.NamespacedName)
	// Recovered is called with an environment whose PipesTokens must be reconciled, even if no
	// change of its status triggers that.
	Recovered func(context.Context, *v1alpha1.PipesEnvironment)

	// reads lets many PipesTokens that need the same API key share one read of the Secret.
	reads singleflight.Group

	mu      sync.Mutex
	known   map[types.NamespacedName]*connection
	version uint64
}

// UsersIndex is the index of PipesTokens in the cache by the PipesEnvironment that they use, as
// namespace/name.
const UsersIndex = "environment"

// Client returns the client of an environment and the version of the connection, or the problem
// because of which the environment has no client. It reads the API key only if no client exists
// for the current generation of the environment.
func (r *Registry) Client(
	ctx context.Context, environment *v1alpha1.PipesEnvironment,
) (*workos.Client, uint64, finding.Finding, error) {
	r.mu.Lock()
	state, ok := r.known[client.ObjectKeyFromObject(environment)]
	r.mu.Unlock()
	if ok && state.isOf(environment) && state.client != nil {
		return state.client, state.version, finding.Finding{}, nil
	}
	read, err, _ := r.reads.Do(fmt.Sprintf("%s %d", environment.UID, environment.Generation), func() (any, error) {
		return r.refreshMissing(ctx, environment)
	})
	if err != nil {
		return nil, 0, finding.Finding{}, err
	}
	state = read.(*connection)
	return state.client, state.version, state.problem, nil
}

// refreshMissing reads the API key of an environment that has no client yet. If that changes the
// state of a known environment, it requeues the environment, because its status is out of date.
func (r *Registry) refreshMissing(
	ctx context.Context, environment *v1alpha1.PipesEnvironment,
) (*connection, error) {
	name := client.ObjectKeyFromObject(environment)
	r.mu.Lock()
	before, known := r.known[name]
	r.mu.Unlock()
	if known && before.isOf(environment) && before.client != nil {
		return before, nil // another PipesToken has read it just now
	}
	state, err := r.refresh(ctx, environment)
	if err == nil && known && state != before && r.Changed != nil {
		r.Changed(name)
	}
	return state, err
}

// Check reads the API key again and returns the problem of the environment, if any.
func (r *Registry) Check(ctx context.Context, environment *v1alpha1.PipesEnvironment) (finding.Finding, error) {
	state, err := r.refresh(ctx, environment)
	if err != nil {
		return finding.Finding{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if state.problem.Present() || !state.key.rejected {
		return state.problem, nil
	}
	return finding.Newf(v1alpha1.APIKeyRejectedReason,
		"WorkOS refuses the API key: put a valid one into entry %q of Secret %q",
		environment.Spec.APIKeySecretRef.Key, environment.Spec.APIKeySecretRef.Name), nil
}

// Version returns the version of the connection of an environment. It changes with the spec of
// the environment and with the API key. Zero: the environment has no connection yet.
func (r *Registry) Version(name types.NamespacedName) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if state, ok := r.known[name]; ok {
		return state.version
	}
	return 0
}

// Heard records what WorkOS's answer says about the API key and about WorkOS itself. version is
// the version of the client that received the answer. Heard returns whether that client is still
// the current one. It requeues the environment if the state of the connection has changed.
func (r *Registry) Heard(
	environment *v1alpha1.PipesEnvironment, version uint64, answer workos.Answer, now time.Time,
) (current bool) {
	name := client.ObjectKeyFromObject(environment)
	r.mu.Lock()
	state, ok := r.known[name]
	current = ok && state.version == version
	news := current && state.hear(answer, skewIsTold(environment), now)
	r.mu.Unlock()
	if news && r.Changed != nil {
		r.Changed(name)
	}
	return current
}

// Notify requeues the PipesTokens of an environment that has recovered. The watch of the
// environment is not enough to notify them. Another shard may have written the status before
// this process had the new API key. If the environment recovers very soon, its status does not
// change at all.
func (r *Registry) Notify(ctx context.Context, environment *v1alpha1.PipesEnvironment, problem finding.Finding) {
	r.mu.Lock()
	state, ok := r.known[client.ObjectKeyFromObject(environment)]
	recovered := ok && state.degraded && !problem.Present()
	if ok {
		state.degraded = problem.Present()
	}
	r.mu.Unlock()
	if recovered && r.Recovered != nil {
		r.Recovered(ctx, environment)
	}
}

// Forget drops the connection of a deleted environment.
func (r *Registry) Forget(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, name)
	r.Upstream.Disconnect(name.String())
}

// refresh reads the API key, and makes a new connection if it or the spec has changed.
func (r *Registry) refresh(ctx context.Context, environment *v1alpha1.PipesEnvironment) (*connection, error) {
	fresh := &connection{of: identity{environment.UID, environment.Generation, environment.Spec.BaseURL}}
	fresh.problem = r.refuse(environment.Spec.BaseURL)
	var key redact.String
	if !fresh.problem.Present() {
		var err error
		if key, fresh.key.version, fresh.problem, err = r.readKey(ctx, environment); err != nil {
			return nil, err
		}
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	name := client.ObjectKeyFromObject(environment)
	old, known := r.known[name]
	if known && old.same(fresh) {
		return old, nil
	}
	if !fresh.problem.Present() {
		client, err := r.Upstream.Connect(name.String(), environment.Spec.BaseURL, key, r.RequestsPerMinute(environment))
		if err != nil {
			fresh.problem = finding.New(v1alpha1.APIKeyInvalidReason, conditions.Printable(err.Error()))
		}
		fresh.client = client
	}
	// A new key counts as valid until WorkOS refuses it. A key that is found at the start of the
	// process may be the key that was refused before. The status then keeps the reason
	// APIKeyRejected until WorkOS accepts the key.
	fresh.key.rejected = known && old.key.rejected && old.key.version == fresh.key.version ||
		!known && conditions.Ready(environment.Status.Conditions).Reason == v1alpha1.APIKeyRejectedReason
	// The problem may be fixed before the next reconcile of the environment. degraded remembers it
	// until the PipesTokens have been requeued.
	fresh.degraded = fresh.key.rejected || fresh.problem.Present()
	if known {
		fresh.inherit(old)
	}
	r.version++
	fresh.version = r.version
	if r.known == nil {
		r.known = map[types.NamespacedName]*connection{}
	}
	r.known[name] = fresh
	return fresh, nil
}

// RequestsPerMinute returns the limit of the environment, or the share of this process in it,
// rounded down. It is at least 1.
func (r *Registry) RequestsPerMinute(environment *v1alpha1.PipesEnvironment) int {
	limit := environment.Spec.RequestsPerMinute
	if r.Share > 0 {
		limit = int32(float64(limit) * r.Share)
	}
	return int(max(limit, 1))
}
