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

// attempt is what this process remembers of its last try for one object: a call to WorkOS, or a look at a name that was taken.
// The status says the same, but may lag behind, when it could not be written. What the Secret holds stands in the Secret alone.
type attempt struct {
	// noted is when this was noted, by the clock of that time.
	noted time.Time
	// at is when the last try was made. Zero: none by this process.
	at time.Time
	// notBefore is the earliest time of the next one.
	notBefore time.Time
	// renewNotBefore is the earliest time of the next one that has no cause but renewal. A Secret that somebody has altered does not
	// wait for it.
	renewNotBefore time.Time
	// inherited: renewal was due already when this process came, and its turn has not come yet.
	inherited bool
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
	// leftHash is the hash of the token that was in the Secret after a write that did not succeed, as far
	// as is known. Empty: there was no such write, or no token.
	leftHash string
	// wasted counts the calls in a row whose token could not be written.
	wasted int
	// request is the refresh request that was answered last, and requestWaits says that one which was not, because nothing
	// was sent or written, has to wait for notBefore like everything else.
	request      string
	requestWaits bool
	// habit is what this connection has shown of how early WorkOS hands out the next token.
	habit renewal.Habit
	// client is the version of the environment's client that the last try used.
	client uint64
	// taken: the last look found the Secret to be somebody else's.
	taken bool
	// heldAt is the generation of the environment that the last try had to wait for its turn at; zero: it had not.
	heldAt int64
	// heldSince is the epoch of the answer that held the last attempt back (see workos.Answer); zero: none did.
	heldSince uint64
}

// asOf is what was noted, at now. If the clock has been set back since, waits end after as long as they would have.
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

// memory keeps one entry for each PipesToken that this process has looked at.
type memory struct {
	mu      sync.Mutex
	entries map[types.NamespacedName]*entry
	// first is when this process made its first pass; zero: it has not.
	first time.Time
}

type entry struct {
	uid     types.UID
	attempt attempt
	// written is our last write of the Secret, until the cache has shown it, or something later.
	written write
	// conflicts counts statuses in a row that were not written, because the object had changed.
	conflicts int
	// freed: a Secret of the object's Secret's name has been deleted since the last pass.
	freed bool
}

// write is what the API server returned for one, and when.
type write struct {
	meta *metav1.PartialObjectMetadata
	at   time.Time
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

// began is when this process made its first pass: now, if it is just making it.
func (m *memory) began(now time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.first.IsZero() {
		m.first = now
	}
	return m.first
}

// stale notes that the object had changed when its status was written, and returns how soon to
// reconcile it again.
func (m *memory) stale(token *v1alpha1.PipesToken) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(token)
	e.conflicts++
	return min(staleRetry<<min(e.conflicts-1, 10), longestStaleRetry)
}

// reported notes that the status was written.
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

// wrote notes the metadata of the Secret after a write of ours.
func (m *memory) wrote(token *v1alpha1.PipesToken, meta *metav1.PartialObjectMetadata, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entry(token).written = write{meta, now}
}

// lastWrite is what our last write of the Secret returned, unless the cache has shown it; the zero write when there was none.
func (m *memory) lastWrite(token *v1alpha1.PipesToken) write {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[client.ObjectKeyFromObject(token)]
	if !ok || e.uid != token.UID {
		return write{}
	}
	return e.written
}

// newest returns the newer of the Secret that the cache shows (nil: none) and the one that we have written last. last has to be asked for
// before the cache is: whatever the cache shows in between is no longer remembered.
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

// secretDeleted notes that the cache has seen the Secret go.
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

// shown notes what the cache shows now of a Secret, and says whether that is our last write: of that the pass that wrote it has known.
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

func isOlder(a, b metav1.Object) bool {
	order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())
	return err == nil && order < 0
}
