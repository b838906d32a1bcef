package pipestoken

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// An event of WorkOS is a hint: it brings the next call forward, for each PipesToken whose
// connection it names. Only the answer to that call changes anything.

// connectionName is how an event names a connection. user is empty for the connection of an
// organization.
type connectionName struct{ slug, user, organization string }

func nameIn(event workos.Event) connectionName {
	return connectionName{event.Slug, event.UserID, event.OrganizationID}
}

func nameOf(spec v1alpha1.PipesTokenSpec) connectionName {
	if spec.ConnectionOwner == v1alpha1.ConnectionOwnerOrganization {
		return connectionName{spec.Slug, "", spec.OrganizationID}
	}
	return connectionName{spec.Slug, spec.UserID, spec.OrganizationID}
}

// Hint brings the next call of each PipesToken forward whose connection is in the events: one call,
// however many events there are. replayed: an event may be older than what a PipesToken knows, and
// is then no news. Hint returns which events are a hint for at least one PipesToken.
func (r *Reconciler) Hint(
	ctx context.Context, environment *v1alpha1.PipesEnvironment, events []workos.Event, replayed bool,
) (heeded []bool) {
	heeded = make([]bool, len(events))
	places := map[connectionName][]int{}
	for i, event := range events {
		if event.Kind != workos.EventOther {
			places[nameIn(event)] = append(places[nameIn(event)], i)
		}
	}
	if len(places) == 0 {
		return heeded
	}
	tokens := r.list(ctx, usingEnvironment(environment))
	for i := range tokens {
		token := &tokens[i]
		for _, place := range places[nameOf(token.Spec)] {
			if replayed && conditions.Stored(events[place].CreatedAt).Before(r.knownSince(token)) {
				continue
			}
			heeded[place] = true
			r.memory.hint(client.ObjectKeyFromObject(token), r.Clock.Now())
			r.requeue.AddWith(fairqueue.Ordinary, requestFor(token))
		}
	}
	return heeded
}

// knownSince returns the time of the last statement of WorkOS about the connection of a PipesToken,
// by WorkOS's clock; zero if there is none. It is in whole seconds, as in a status. An event of the
// same second may be later, and is a hint.
func (r *Reconciler) knownSince(token *v1alpha1.PipesToken) time.Time {
	since := time.Time{}
	if known, ok := r.memory.attempt(token); ok && known.state == attempted {
		since = known.schedule.at
	}
	if obtained := token.Status.LastRefreshTime; obtained != nil {
		since = latest(since, obtained.Time)
	}
	if connected := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ConnectedCondition); connected != nil {
		since = latest(since, connected.LastTransitionTime.Time)
	}
	return conditions.Stored(since)
}

// EventsLost requeues the PipesTokens that wait for a person: without events, their polls have to
// be frequent again.
func (r *Reconciler) EventsLost(ctx context.Context, environment *v1alpha1.PipesEnvironment) {
	tokens := r.list(ctx, usingEnvironment(environment))
	for i := range tokens {
		if told := trouble(tokens[i].Status.Conditions); told != nil && traits[told.Reason].announced {
			r.requeue.Add(requestFor(&tokens[i]))
		}
	}
}

// hint records that an event has come for a PipesToken.
func (m *memory) hint(token types.NamespacedName, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hints == nil {
		m.hints = map[types.NamespacedName]time.Time{}
	}
	m.hints[token] = at
}

// hinted returns when the last event came that no call has followed yet. Zero: there is none.
func (m *memory) hinted(token types.NamespacedName) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hints[token]
}

// heeded records that WorkOS was asked because of the event that came at that time. An event that
// has come since then is left.
func (m *memory) heeded(token types.NamespacedName, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hints[token].Equal(at) {
		delete(m.hints, token)
	}
}
