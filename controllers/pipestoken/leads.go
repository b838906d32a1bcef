package pipestoken

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// leads keeps the lead that this process has learned for each slug of each environment: how
// long before expiry WorkOS returns the next token. The renewal time of a token depends on the
// lead of its own connection. If that lead is unknown and the connection has returned the same
// token again, the lead of the slug determines when to ask again.
type leads struct {
	mu      sync.Mutex
	entries map[leadKey]slugLead
	noted   uint64 // how often note was called
}

// slugLead is the knowledge about a slug: its lead, and the fields below.
type slugLead struct {
	renewal.Estimate
	// lastObtained is when the newest token of the slug was obtained, among the tokens that this
	// process has found. At that time a leader was running.
	lastObtained time.Time
	// noted orders the slugs by their last update.
	noted uint64
}

// leadKey identifies a slug of an environment. Accounts with client credentials have tokens of
// another kind than accounts with OAuth.
type leadKey struct {
	environment types.NamespacedName
	slug        string
	method      v1alpha1.AuthMethod
}

func leadKeyOf(seen observation) leadKey {
	return leadKey{environment: seen.origin.name, slug: seen.token.Spec.Slug, method: seen.token.Spec.AuthMethod}
}

func (h *leads) of(key leadKey) slugLead {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entries[key]
}

// inherit records a token that the previous leader has obtained, or this process before a
// restart.
func (h *leads) inherit(seen observation) {
	if seen.secret.State != tokensecret.Intact || seen.clockWasAhead() {
		return
	}
	key := leadKeyOf(seen)
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.entries[key]
	known.lastObtained = latest(known.lastObtained, seen.secret.Facts.ObtainedAt)
	h.note(key, known)
}

// maxLeads limits the number of slugs, and maxLeadsEach limits the slugs of one environment,
// because tenants choose the slugs.
const maxLeads, maxLeadsEach = 4096, 256

// note replaces the knowledge about a slug. The caller holds the lock.
func (h *leads) note(key leadKey, known slugLead) {
	if h.entries == nil {
		h.entries = map[leadKey]slugLead{}
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
func (h *leads) makeRoom(environment types.NamespacedName) {
	var oldest, oldestHere leadKey
	here := 0
	for key, known := range h.entries {
		if oldest == (leadKey{}) || known.noted < h.entries[oldest].noted {
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
	case here >= maxLeadsEach:
		delete(h.entries, oldestHere)
	case len(h.entries) >= maxLeads:
		delete(h.entries, oldest)
	}
}

// learn records the answer of WorkOS to a renewal that was due. It returns the new knowledge
// about the connection and about the slug.
func (h *leads) learn(seen observation, token workos.Token) (own renewal.Estimate, others slugLead) {
	key, facts := leadKeyOf(seen), seen.secret.Facts
	h.mu.Lock()
	defer h.mu.Unlock()
	own, others = seen.last.lead, h.entries[key]
	if facts.ExpiresAt.IsZero() {
		return own, others
	}
	left := facts.ExpiresAt.Sub(seen.now)
	renewed := facts.TokenHash != tokensecret.HashToken(string(seen.token.UID), token.Value)
	own, others.Estimate = own.Own(left, renewed, others.Estimate), others.After(left, renewed)
	h.note(key, others)
	return own, others
}

// writtenEstimate returns the lead that was known when the Secret was written.
func writtenEstimate(facts tokensecret.Facts) renewal.Estimate {
	if facts.UpstreamLead == nil {
		return renewal.Estimate{}
	}
	return renewal.Estimate{Granted: *facts.UpstreamLead, Known: true, Trust: renewal.MaxTrust}
}
