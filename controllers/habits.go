package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// habits keeps the lead that this process has learned for each slug of each environment: how
// long before expiry WorkOS returns the next token. The renewal time of a token depends on the
// lead of its own connection. If that lead is unknown and the connection has returned the same
// token again, the lead of the slug determines when to ask again.
type habits struct {
	mu      sync.Mutex
	entries map[habitKey]slugHabit
	noted   uint64 // how often note was called
}

// slugHabit is the knowledge about a slug: its lead, and the fields below.
type slugHabit struct {
	renewal.Habit
	// lastObtained is when the newest token of the slug was obtained, among the tokens that this
	// process has found. At that time a leader was running.
	lastObtained time.Time
	// noted orders the slugs by their last update.
	noted uint64
}

type habitKey struct {
	environment types.NamespacedName
	slug        string
}

func habitOf(seen observation) habitKey {
	return habitKey{environment: seen.origin.name, slug: seen.token.Spec.Slug}
}

func (h *habits) of(key habitKey) slugHabit {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entries[key]
}

// inherit records a token that the previous leader has obtained, or this process before a
// restart.
func (h *habits) inherit(seen observation) {
	if seen.secret.State != tokensecret.Intact || seen.clockWasAhead() {
		return
	}
	key := habitOf(seen)
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.entries[key]
	known.lastObtained = latest(known.lastObtained, seen.secret.Facts.ObtainedAt)
	h.note(key, known)
}

// maxHabits limits the number of slugs, and maxHabitsEach limits the slugs of one environment,
// because tenants choose the slugs.
const maxHabits, maxHabitsEach = 4096, 256

// note replaces the knowledge about a slug. The caller holds the lock.
func (h *habits) note(key habitKey, known slugHabit) {
	if h.entries == nil {
		h.entries = map[habitKey]slugHabit{}
	}
	if _, replaces := h.entries[key]; !replaces {
		h.makeRoom(key.environment)
	}
	h.noted++
	known.noted = h.noted
	h.entries[key] = known
}

// makeRoom drops the slug with the oldest update. If the environment has too many slugs, it
// drops a slug of that environment.
func (h *habits) makeRoom(environment types.NamespacedName) {
	var oldest, oldestHere habitKey
	here := 0
	for key, known := range h.entries {
		if oldest == (habitKey{}) || known.noted < h.entries[oldest].noted {
			oldest = key
		}
		if key.environment != environment {
			continue
		}
		if here++; here == 1 || known.noted < h.entries[oldestHere].noted {
			oldestHere = key
		}
	}
	switch {
	case here >= maxHabitsEach:
		delete(h.entries, oldestHere)
	case len(h.entries) >= maxHabits:
		delete(h.entries, oldest)
	}
}

// learn records the answer of WorkOS to a renewal that was due. It returns the new knowledge
// about the connection and about the slug.
func (h *habits) learn(seen observation, token workos.Token) (own renewal.Habit, others slugHabit) {
	key, facts := habitOf(seen), seen.secret.Facts
	h.mu.Lock()
	defer h.mu.Unlock()
	own, others = seen.last.habit, h.entries[key]
	if facts.ExpiresAt.IsZero() {
		return own, others
	}
	left := facts.ExpiresAt.Sub(seen.now)
	renewed := facts.TokenHash != tokensecret.HashToken(string(seen.token.UID), token.Value)
	own, others.Habit = own.Own(left, renewed, others.Habit), others.After(left, renewed)
	h.note(key, others)
	return own, others
}

// writtenHabit returns the lead that was known when the Secret was written.
func writtenHabit(facts tokensecret.Facts) renewal.Habit {
	if facts.UpstreamLead == nil {
		return renewal.Habit{}
	}
	return renewal.Habit{Granted: *facts.UpstreamLead, Known: true, Trust: renewal.MaxTrust}
}
