package controllers

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
)

// attempt is the memory of the last attempt for one object. An attempt is a call to WorkOS, or a
// check whether the name of the Secret is still taken. The status contains the same information,
// but it is older if it could not be written. The facts about the token are stored only in the
// Secret.
type attempt struct {
	// noted is when this data was recorded, by the clock of that time.
	noted time.Time
	// at is the time of the last attempt. Zero: this process has made no attempt.
	at time.Time
	// notBefore is the earliest time of the next attempt.
	notBefore time.Time
	// renewNotBefore is the earliest time of the next attempt whose only cause is the renewal.
	// The repair of an altered Secret does not wait for it.
	renewNotBefore time.Time
	// inherited: the renewal was already due when this process started, and its turn has not
	// come yet.
	inherited bool
	// found is the finding of the last attempt. It is valid until the next attempt. fromStatus:
	// found was read from the status, and this process has not asked WorkOS yet.
	found      finding
	fromStatus bool
	// connected is the Connected condition after the last answer of WorkOS. Nil: the condition
	// in the status is valid.
	connected *metav1.Condition
	// intact: the last attempt left a token in the Secret. If the token is missing later,
	// somebody else has removed it.
	intact bool
	// failures counts failed attempts in a row. repairs counts attempts in a row that repaired a
	// change of the Secret by somebody else.
	failures, repairs int
	// leftHash is the hash of the token that was in the Secret after a failed write, as far as
	// known. Empty: no write failed, or the Secret held no token.
	leftHash string
	// wasted counts the calls in a row whose token could not be written.
	wasted int
	// request is the refresh request that was answered last. requestWaits: a refresh request
	// that was not answered, because nothing was sent or written, has to wait for notBefore like
	// every other attempt.
	request      string
	requestWaits bool
	// habit is the lead that this connection has shown: how long before expiry WorkOS returns
	// the next token.
	habit renewal.Habit
	// client is the version of the environment's client that the last attempt used.
	client uint64
	// taken: the last check found that the Secret belongs to somebody else.
	taken bool
	// heldAt is the generation of the environment when the last attempt had to wait for its
	// turn. Zero: the last attempt did not have to wait.
	heldAt int64
	// heldSince is the epoch of the answer that held the last attempt back (see workos.Answer).
	// Zero: no answer did.
	heldSince uint64
}

// asOf returns the attempt as it is valid at now. If the clock has been set back since it was
// recorded, its times move back too, so that a wait does not become longer.
func (a attempt) asOf(now time.Time) attempt {
	back := a.noted.Sub(now)
	if back <= 0 {
		return a
	}
	a.noted = now
	for _, instant := range []*time.Time{&a.at, &a.notBefore, &a.renewNotBefore} {
		if !instant.IsZero() {
			*instant = instant.Add(-back)
		}
	}
	return a
}

// memory keeps one entry for each PipesToken that this process has reconciled.
type memory struct {
	mu      sync.Mutex
	entries map[types.NamespacedName]*entry
	// first is the time of the first reconcile of this process. Zero: it has made none.
	first time.Time
}

type entry struct {
	uid     types.UID
	attempt attempt
	// written is our last write of the Secret. It is dropped as soon as the cache shows that
	// write or a later change.
	written write
	// conflicts counts status writes in a row that failed because the object had changed.
	conflicts int
	// freed: a Secret with the name of this object's Secret has been deleted since the last
	// reconcile.
	freed bool
}

// write is the metadata that the API server returned for a write, and the time of the write.
type write struct {
	meta *metav1.PartialObjectMetadata
	at   time.Time
}

// trustWritten is how long the operator assumes that a Secret exists which it has written but
// which the cache does not show. A watch delivers within milliseconds. If a Secret is created
// and deleted while the watch is down, the cache never shows it.
const trustWritten = time.Minute

// attempt returns the last attempt for token. False: this process remembers none.
func (m *memory) attempt(token *v1alpha1.PipesToken) (attempt, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[client.ObjectKeyFromObject(token)]
	if !ok || e.uid != token.UID {
		return attempt{}, false
	}
	return e.attempt, true
}

// began returns the time of the first reconcile of this process. The first call sets it to now.
func (m *memory) began(now time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.first.IsZero() {
		m.first = now
	}
	return m.first
}

// stale records that the object had changed when its status was written. It returns the delay
// until the next reconcile.
func (m *memory) stale(token *v1alpha1.PipesToken) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(token)
	e.conflicts++
	return min(staleRetry<<min(e.conflicts-1, 10), longestStaleRetry)
}

// reported records that the status was written.
func (m *memory) reported(token *v1alpha1.PipesToken) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entry(token).conflicts = 0
}

func (m *memory) remember(token *v1alpha1.PipesToken, a attempt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entry(token).attempt = a
}

// wrote records the metadata that the API server has returned for the Secret, usually after a
// write.
func (m *memory) wrote(token *v1alpha1.PipesToken, meta *metav1.PartialObjectMetadata, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entry(token).written = write{meta, now}
}

// lastWrite returns the last write of the Secret by this process, unless the cache has shown it.
// It returns the zero write if this process remembers none.
func (m *memory) lastWrite(token *v1alpha1.PipesToken) write {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[client.ObjectKeyFromObject(token)]
	if !ok || e.uid != token.UID {
		return write{}
	}
	return e.written
}

// newest returns the newer version of the Secret: cached, which the cache shows (nil: none), or
// last, our last write. The caller must get last before it reads the cache, because the memory
// drops a write as soon as the cache shows it.
func newest(last write, cached *metav1.PartialObjectMetadata, now time.Time) *metav1.PartialObjectMetadata {
	switch {
	case last.meta == nil:
		return cached
	case cached == nil && now.Sub(last.at) < trustWritten:
		return last.meta
	case cached != nil && isOlder(cached, last.meta):
		return last.meta
	default:
		return cached
	}
}

// secretDeleted records that the Secret was deleted.
func (m *memory) secretDeleted(token types.NamespacedName, secret types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[token]
	if !ok {
		return
	}
	if e.written.meta != nil && e.written.meta.UID == secret {
		e.written = write{}
	}
	e.freed = true
}

// shown records the version of the Secret that the cache shows. echo: that version is our last
// write, which the reconcile that made it already knows.
func (m *memory) shown(token types.NamespacedName, secret metav1.Object) (echo bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[token]
	if !ok || e.written.meta == nil || e.written.meta.UID != secret.GetUID() || isOlder(secret, e.written.meta) {
		return false
	}
	echo = e.written.meta.ResourceVersion == secret.GetResourceVersion()
	e.written = write{}
	return echo
}

// wasFreed reports whether the name of the Secret may have become free since the last call.
func (m *memory) wasFreed(token *v1alpha1.PipesToken) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(token)
	freed := e.freed
	e.freed = false
	return freed
}

func (m *memory) forget(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, name)
}

// entry returns the entry of token. If the UID of token has no entry, it creates an empty entry.
// The caller holds the lock.
func (m *memory) entry(token *v1alpha1.PipesToken) *entry {
	if m.entries == nil {
		m.entries = map[types.NamespacedName]*entry{}
	}
	e, ok := m.entries[client.ObjectKeyFromObject(token)]
	if !ok || e.uid != token.UID {
		e = &entry{uid: token.UID}
		m.entries[client.ObjectKeyFromObject(token)] = e
	}
	return e
}

func isOlder(a, b metav1.Object) bool {
	order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())
	return err == nil && order < 0
}
