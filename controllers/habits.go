package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// habits keeps what has been learned of how early WorkOS hands out the next token, for each slug of each environment. Each Secret
// says what was known when it was written; so a process that has just started goes on with that, and the time of a renewal does not
// depend on who computes it.
type habits struct {
	mu      sync.Mutex
	entries map[habitKey]habitEntry
}

type habitKey struct {
	environment types.NamespacedName
	slug        string
}

type habitEntry struct {
	habit renewal.Habit
	// told is when the Secret was written that the habit was read from; zero once this process has learned something itself.
	told time.Time
}

func habitOf(seen observation) habitKey {
	return habitKey{environment: seen.environmentName, slug: seen.token.Spec.Slug}
}

// recall returns what is known, to which facts may add what was known when they were written.
func (h *habits) recall(key habitKey, facts tokensecret.Facts) renewal.Habit {
	h.mu.Lock()
	defer h.mu.Unlock()
	entry, known := h.entries[key]
	if facts.UpstreamLead == nil || known && !facts.ObtainedAt.After(entry.told) || known && entry.told.IsZero() {
		return entry.habit
	}
	entry = habitEntry{habit: renewal.Habit{Known: true, Granted: *facts.UpstreamLead}, told: facts.ObtainedAt}
	h.put(key, entry)
	return entry.habit
}

// learn notes what WorkOS answered when the renewal of what was seen was due.
func (h *habits) learn(seen observation, token workos.Token) renewal.Habit {
	key, facts := habitOf(seen), seen.secret.Facts
	renewed := facts.TokenHash != tokensecret.HashToken(string(seen.token.UID), token.Value)
	h.mu.Lock()
	defer h.mu.Unlock()
	habit := h.entries[key].habit
	if !facts.ExpiresAt.IsZero() {
		habit = habit.After(facts.ExpiresAt.Sub(seen.now), renewed)
		h.put(key, habitEntry{habit: habit})
	}
	return habit
}

// put is called with the lock held.
func (h *habits) put(key habitKey, entry habitEntry) {
	if h.entries == nil {
		h.entries = map[habitKey]habitEntry{}
	}
	h.entries[key] = entry
}
