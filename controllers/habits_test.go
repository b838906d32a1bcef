package controllers

import (
	"testing"
	"time"

	"k8s.io/utils/ptr"

	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// What WorkOS answers one PipesToken says something of its own connection, and of those with the same slug and environment; of no others.
func TestHabitsAreLearnedForTheConnectionAndForTheSlug(t *testing.T) {
	h := &habits{}
	same, another := redact.NewString("the same"), redact.NewString("another")
	seen := healthy()
	seen.secret.Facts.TokenHash = tokensecret.HashToken(string(seen.token.UID), same)
	answered := func(left time.Duration, value redact.String) (own, others renewal.Habit) {
		seen.now = seen.secret.Facts.ExpiresAt.Add(-left)
		own, others = h.learn(seen, workos.Token{Value: value})
		seen.attempt.habit = own
		return own, others
	}
	if own, _ := answered(40*time.Second, same); own.Known {
		t.Errorf("a refusal alone tells %+v", own)
	}
	for range 2 {
		answered(20*time.Second, another)
	}
	if lead, known := seen.attempt.habit.Lead(); !known || lead != 20*time.Second {
		t.Errorf("this connection: %v, %v, want 20s", lead, known)
	}
	if lead, known := h.of(habitOf(seen)).Lead(); !known || lead != 20*time.Second {
		t.Errorf("its slug: %v, %v, want 20s", lead, known)
	}

	neighbour := healthy()
	neighbour.environmentName = seen.environmentName
	if lead, known := h.of(habitOf(neighbour)).Lead(); !known || lead != 20*time.Second {
		t.Errorf("another connection of the slug: %v, %v, want 20s", lead, known)
	}
	neighbour.token.Spec.Slug = "slack"
	if known := h.of(habitOf(neighbour)); known != (renewal.Habit{}) {
		t.Errorf("another slug: %+v", known)
	}
	neighbour.token.Spec.Slug, neighbour.environmentName.Name = seen.token.Spec.Slug, "another"
	if known := h.of(habitOf(neighbour)); known != (renewal.Habit{}) {
		t.Errorf("another environment: %+v", known)
	}
}

// A process that has just started goes on with what stands beside the token.
func TestHabitIsRecalledFromTheSecret(t *testing.T) {
	r, seen := &PipesTokenReconciler{}, healthy()
	seen.secret.Facts.UpstreamLead = ptr.To(50 * time.Second)
	if lead, known := r.recall(seen).habit.Lead(); !known || lead != 50*time.Second {
		t.Errorf("got %v, %v, want 50s", lead, known)
	}
	seen.token.UID, seen.secret.Facts.UpstreamLead = "another", nil
	if habit := r.recall(seen).habit; habit != (renewal.Habit{}) {
		t.Errorf("got %+v of a Secret that tells nothing", habit)
	}
}
