package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// habits keeps what this process has learned, for each slug of each environment, of how early WorkOS hands out the next token. When to
// renew a token follows from what its own connection has shown; but where that has refused already, and nothing more is known of it, the
// others are a guide to when to ask again.
type habits struct {
	mu      sync.Mutex
	entries map[habitKey]slugHabit
	noted   uint64 // how often something was noted
}

// slugHabit is what is known of a slug.
type slugHabit struct {
	renewal.Habit
	// lastObtained is when the latest token was obtained of those that this process has found: until then somebody was there to ask.
	lastObtained time.Time
	// noted orders the slugs by when they were last heard of.
	noted uint64
}

type habitKey struct {
	environment types.NamespacedName
	slug        string
}

func habitOf(seen observation) habitKey {
	return habitKey{environment: seen.environmentName, slug: seen.token.Spec.Slug}
}

func (h *habits) of(key habitKey) slugHabit {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entries[key]
}

// inherit notes that there is a token which somebody else has obtained, or this process before it was started anew.
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

// maxHabits bounds the slugs that are known, and maxHabitsEach those of one environment: slugs are for tenants to choose.
const maxHabits, maxHabitsEach = 4096, 256

// note replaces what is known of a slug. The lock is held.
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

// makeRoom drops the slug that has not been heard of for longest: of the same environment if that knows too many, else of all.
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

// learn notes what WorkOS answered when the renewal of what was seen was due, and returns what is known of that connection, and of the
// slug, from then on.
func (h *habits) learn(seen observation, token workos.Token) (own renewal.Habit, others slugHabit) {
	key, facts := habitOf(seen), seen.secret.Facts
	h.mu.Lock()
	defer h.mu.Unlock()
	own, others = seen.attempt.habit, h.entries[key]
	if facts.ExpiresAt.IsZero() {
		return own, others
	}
	left := facts.ExpiresAt.Sub(seen.now)
	renewed := facts.TokenHash != tokensecret.HashToken(string(seen.token.UID), token.Value)
	own, others.Habit = own.Own(left, renewed, others.Habit), others.After(left, renewed)
	h.note(key, others)
	return own, others
}

// writtenHabit is what was known when the Secret was written.
func writtenHabit(facts tokensecret.Facts) renewal.Habit {
	if facts.UpstreamLead == nil {
		return renewal.Habit{}
	}
	return renewal.Habit{Granted: *facts.UpstreamLead, Known: true, Trust: renewal.MaxTrust}
}
