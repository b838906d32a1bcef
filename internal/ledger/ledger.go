// Package ledger records the state of every PipesToken of this process: when its next attempt is
// due, how often its token is renewed, and until when the token is valid. The metrics, the
// condition BudgetTooSmall and the watch for expired tokens read the ledger.
package ledger

import (
	"sync"
	"time"
	"unique"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
)

// Entry is the state of one PipesToken.
type Entry struct {
	// Reason is the reason of its Ready condition. Failing is the reason of its RenewalFailed
	// condition; empty if renewal does not fail.
	Reason, Failing string
	// Environment is its PipesEnvironment.
	Environment types.NamespacedName
	// Due is the time of the next attempt, and Expires the expiry of the token, both by WorkOS's
	// clock, which is ahead by Skew. Zero: nothing is due until something changes, or the token
	// does not expire.
	Due, Expires time.Time
	Skew         time.Duration
	// Every is the time between two renewals of the token. Zero: no token is renewed.
	Every time.Duration
}

// LocalDue returns Due by the operator's clock; the zero time if nothing is due.
func (e Entry) LocalDue() time.Time {
	if e.Due.IsZero() {
		return e.Due
	}
	return e.Due.Add(-e.Skew)
}

// packed is an Entry in memory. Every PipesToken has one, therefore it is small.
type packed struct {
	kind    unique.Handle[kind]
	due     int64 // Unix time in milliseconds; zero: nothing is due
	expires int64 // Unix time in seconds; zero: no expiry
	skew    int32 // in seconds
	every   time.Duration
}

// kind is the part of the state that many PipesTokens have in common.
type kind struct {
	reason, failing string
	environment     types.NamespacedName
}

func pack(e Entry) packed {
	p := packed{
		kind:  unique.Make(kind{e.Reason, e.Failing, e.Environment}),
		skew:  int32(e.Skew.Round(time.Second).Seconds()),
		every: e.Every,
	}
	if !e.Due.IsZero() {
		p.due = e.Due.UnixMilli()
	}
	if !e.Expires.IsZero() {
		p.expires = e.Expires.Unix()
	}
	return p
}

func (p packed) unpack() Entry {
	k := p.kind.Value()
	e := Entry{
		Reason: k.reason, Failing: k.failing, Environment: k.environment,
		Skew: time.Duration(p.skew) * time.Second, Every: p.every,
	}
	if p.due != 0 {
		e.Due = time.UnixMilli(p.due)
	}
	if p.expires != 0 {
		e.Expires = time.Unix(p.expires, 0)
	}
	return e
}

// Ledger holds one Entry for each PipesToken. The zero Ledger is empty and ready for use.
type Ledger struct {
	mu      sync.Mutex
	entries map[types.NamespacedName]packed
	// counts has, for each PipesEnvironment, the number of entries of each kind.
	counts map[types.NamespacedName]map[unique.Handle[kind]]int
}

// Enter records a PipesToken of which the Ledger has no Entry yet. If all reconciles of the
// PipesToken fail, it is overdue from then on.
func (l *Ledger) Enter(name types.NamespacedName, first Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.entries[name]; !known {
		l.set(name, pack(first))
	}
}

// Record replaces the Entry of a PipesToken.
func (l *Ledger) Record(name types.NamespacedName, e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set(name, pack(e))
}

// set stores an entry. The caller holds the lock.
func (l *Ledger) set(name types.NamespacedName, p packed) {
	if l.entries == nil {
		l.entries, l.counts = map[types.NamespacedName]packed{}, map[types.NamespacedName]map[unique.Handle[kind]]int{}
	}
	if before, known := l.entries[name]; known {
		l.count(before.kind, -1)
	}
	l.entries[name] = p
	l.count(p.kind, 1)
}

// count adds change to the number of entries of a kind. The caller holds the lock.
func (l *Ledger) count(of unique.Handle[kind], change int) {
	environment := of.Value().environment
	kinds := l.counts[environment]
	if kinds == nil {
		kinds = map[unique.Handle[kind]]int{}
		l.counts[environment] = kinds
	}
	if kinds[of] += change; kinds[of] == 0 {
		delete(kinds, of)
	}
	if len(kinds) == 0 {
		delete(l.counts, environment)
	}
}

// Count returns how many PipesTokens of an environment have a problem whose reason fits.
func (l *Ledger) Count(environment types.NamespacedName, fits func(reason string) bool) (count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for of, number := range l.counts[environment] {
		if k := of.Value(); fits(k.reason) || fits(k.failing) {
			count += number
		}
	}
	return count
}

// Forget drops a deleted PipesToken.
func (l *Ledger) Forget(name types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, known := l.entries[name]; known {
		l.count(before.kind, -1)
		delete(l.entries, name)
	}
}

// Each calls visit with every Entry. visit must not call the Ledger.
func (l *Ledger) Each(visit func(types.NamespacedName, Entry)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, p := range l.entries {
		visit(name, p.unpack())
	}
}

// Expired returns the PipesTokens whose status says that they are ready although their token has
// expired at now, by the operator's clock. It returns each PipesToken once, until Record is
// called for it again.
func (l *Ledger) Expired(now time.Time) (names []types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	second := now.Unix()
	for name, p := range l.entries {
		if p.expires == 0 || p.expires-int64(p.skew) > second || p.kind.Value().reason != v1alpha1.TokenSyncedReason {
			continue
		}
		expired := p.kind.Value()
		expired.reason = v1alpha1.TokenExpiredReason
		p.kind = unique.Make(expired)
		l.set(name, p)
		names = append(names, name)
	}
	return names
}

// Demand returns how many requests per minute the renewals of an environment need, if all tokens
// are renewed in time.
func (l *Ledger) Demand(environment types.NamespacedName, now time.Time) (perMinute float64) {
	var all []renewal.Due
	l.Each(func(_ types.NamespacedName, e Entry) {
		if e.Every > 0 && e.Environment == environment {
			all = append(all, renewal.Due{At: e.LocalDue(), Expires: e.Expires.Add(-e.Skew), Every: e.Every})
		}
	})
	return renewal.Demand(now, all)
}
