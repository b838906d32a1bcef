package pipestoken

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// memory keeps one entry for each PipesToken that this process has reconciled.
type memory struct {
	mu      sync.Mutex
	entries map[types.NamespacedName]*entry
	// hints are the PipesTokens for which an event of WorkOS has come, and no call has followed yet,
	// with the time when it came.
	hints map[types.NamespacedName]time.Time
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
	// audited is nil if nothing was recorded in the audit log.
	audited *audited
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
	delete(m.hints, name)
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
