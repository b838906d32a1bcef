//go:build reliability

package model_test

import (
	"context"
	"time"

	"pgregory.net/rapid"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workos"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// event gives a process events of WorkOS, true or forged: of a connection that a PipesToken names or
// of any other, of any kind and time, once or often. An event is a hint, so every invariant holds
// whatever the events say.
func (w *world) event(t *rapid.T) {
	id := workossim.ID{Slug: draw(t, "slug", "github", "slack"), UserID: draw(t, "user", "u1", "u2"), OrganizationID: draw(t, "organization", "", "org1")}
	event := workos.Event{
		ID:        "event_1",
		Kind:      draw(t, "kind", workos.EventKinds()...),
		CreatedAt: w.clock.Now().Add(draw(t, "created", 0, -time.Second, -time.Hour, 24*time.Hour)),
		Slug:      id.Slug, UserID: id.UserID, OrganizationID: id.OrganizationID,
	}
	var events []workos.Event
	for range draw(t, "times", 1, 1, 100) {
		events = append(events, event)
	}
	replayed := rapid.Bool().Draw(t, "replayed")
	key := draw(t, "environment", defaultEnvironment, defaultEnvironment, ownEnvironment)
	stored := w.server.get(environments, key)
	if stored == nil {
		t.Skip("there is no PipesEnvironment")
	}
	o := w.drawOperator(t)
	w.logf("%d: gets %d events %s of %v, created %s, replayed %t", o.id, len(events), event.Kind, id, event.CreatedAt, replayed)
	o.tokens.Hint(context.Background(), stored.(*v1alpha1.PipesEnvironment), events, replayed)
}
