package controllers

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// attempt is what this process remembers of its last try for one object: a call to WorkOS, or a look at a name that was taken.
// The status says the same, but may lag behind, when it could not be written. What the Secret holds stands in the Secret alone.
type attempt struct {
	// noted is when this was noted, by the clock of that time.
	noted time.Time
	// at is when the last try was made. Zero: none by this process.
	at time.Time
	// notBefore is the earliest time of the next one.
	notBefore time.Time
	// found is what the last try found wrong; it stands until the next one. hearsay: the status says so, and this process has not
	// asked yet.
	found   finding
	hearsay bool
	// connected is the Connected condition as of WorkOS's last answer. Nil: as the status has it.
	connected *metav1.Condition
	// intact: the last try left a token in the Secret. If it is gone, somebody else has seen to that.
	intact bool
	// failures counts failed tries in a row, and repairs those that made up for what somebody else did to the Secret.
	failures, repairs int
	// request is the refresh request that was answered last, and requestWaits says that one which was not, because nothing
	// was sent or written, has to wait for notBefore like everything else.
	request      string
	requestWaits bool
	// client is the version of the environment's client that the last try used.
	client uint64
}

// asOf is what was noted, at now. If the clock has been set back since, waits end after as long as they would have.
func (a attempt) asOf(now time.Time) attempt {
	back := a.noted.Sub(now)
	if back <= 0 {
		return a
	}
	a.noted = now
	for _, instant := range []*time.Time{&a.at, &a.notBefore} {
		if !instant.IsZero() {
			*instant = instant.Add(-back)
		}
	}
	return a
}

// memory keeps one entry for each PipesToken that this process has looked at.
type memory struct {
	mu      sync.Mutex
	entries map[types.NamespacedName]*entry
}

type entry struct {
	uid     types.UID
	attempt attempt
	// written is what the API server returned for our last write of the Secret, until the cache has seen it.
	written   *metav1.PartialObjectMetadata
	writtenAt time.Time
	// freed: a Secret of the object's Secret's name has been deleted since the last pass.
	freed bool
}

// trustWritten is how long a Secret that we have written, and that the cache does not show, is believed to be there. A watch
// delivers within milliseconds; a Secret that was created and deleted while a watch was down is never shown.
const trustWritten = time.Minute

// attempt returns what is remembered of token, and whether anything is.
func (m *memory) attempt(token *v1alpha1.PipesToken) (attempt, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[client.ObjectKeyFromObject(token)]
	if !ok || e.uid != token.UID {
		return attempt{}, false
	}
	return e.attempt, true
}

func (m *memory) remember(token *v1alpha1.PipesToken, a attempt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entry(token).attempt = a
}

// wrote notes the metadata of the Secret after a write of ours.
func (m *memory) wrote(token *v1alpha1.PipesToken, meta *metav1.PartialObjectMetadata, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(token)
	e.written, e.writtenAt = meta, now
}

// newest returns the newer of the Secret that the cache shows (nil: none) and the one that we have written last.
func (m *memory) newest(token *v1alpha1.PipesToken, cached *metav1.PartialObjectMetadata, now time.Time) *metav1.PartialObjectMetadata {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[client.ObjectKeyFromObject(token)]
	switch {
	case !ok || e.uid != token.UID || e.written == nil:
		return cached
	case cached == nil && now.Sub(e.writtenAt) < trustWritten:
		return e.written
	case cached != nil && isOlder(cached, e.written):
		return e.written
	default:
		e.written = nil
		return cached
	}
}

// secretDeleted notes that the cache has seen the Secret go.
func (m *memory) secretDeleted(token types.NamespacedName, secret types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[token]
	if !ok {
		return
	}
	if e.written != nil && e.written.UID == secret {
		e.written = nil
	}
	e.freed = true
}

// isEcho says whether the cache shows of a Secret what our last write of it returned, of which the pass that wrote it has known.
func (m *memory) isEcho(token types.NamespacedName, meta metav1.Object) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[token]
	return ok && e.written != nil && e.written.UID == meta.GetUID() && e.written.ResourceVersion == meta.GetResourceVersion()
}

// wasFreed says whether the Secret's name may have become free since it was last asked.
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

// entry returns the entry of token, a fresh one when there is none for its UID. The lock is held.
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

func isOlder(a, b *metav1.PartialObjectMetadata) bool {
	order, err := resourceversion.CompareResourceVersion(a.ResourceVersion, b.ResourceVersion)
	return err == nil && order < 0
}
