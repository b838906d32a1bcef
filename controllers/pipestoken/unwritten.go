package pipestoken

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// unwritten records which PipesTokens wait until the API server accepts their Secrets again.
// Admission, quotas and rights concern a whole namespace. When a write works again for one
// PipesToken, the others in the namespace are tried at once. Therefore each of them needs to try
// only seldom.
type unwritten struct {
	mu         sync.Mutex
	namespaces map[string]*namespaceWrites
}

type namespaceWrites struct {
	waiting map[types.NamespacedName]struct{}
	// recovered is when a PipesToken that waited was last written again.
	recovered time.Time
	// overwritten is when a token was last replaced and admission changed nothing.
	overwritten time.Time
}

// failed records that the Secret of name was not written. It returns how many PipesTokens wait
// in the namespace.
func (u *unwritten) failed(name types.NamespacedName) (crowd int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	writes := u.of(name.Namespace)
	writes.waiting[name] = struct{}{}
	return len(writes.waiting)
}

// worked records that the API server accepts the Secret of name. If name was waiting, it returns
// the other PipesTokens that wait in the namespace.
func (u *unwritten) worked(name types.NamespacedName, now time.Time) (others []types.NamespacedName) {
	u.mu.Lock()
	defer u.mu.Unlock()
	writes, known := u.namespaces[name.Namespace]
	if !known {
		return nil
	}
	if _, waited := writes.waiting[name]; !waited {
		return nil
	}
	delete(writes.waiting, name)
	writes.recovered = now
	for other := range writes.waiting {
		others = append(others, other)
	}
	return others
}

// forget drops a PipesToken that does not wait any more, for example because it was deleted.
func (u *unwritten) forget(name types.NamespacedName) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if writes, known := u.namespaces[name.Namespace]; known {
		delete(writes.waiting, name)
	}
}

// recoveredAt returns when the API server last accepted a Secret of the namespace again after a
// failure. Zero: never.
func (u *unwritten) recoveredAt(namespace string) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if writes, known := u.namespaces[namespace]; known {
		return writes.recovered
	}
	return time.Time{}
}

// overwrote records that a token was replaced and that admission changed nothing in the Secret.
func (u *unwritten) overwrote(namespace string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.of(namespace).overwritten = now
	u.prune(now)
}

// overwroteSince reports whether overwrote was called for the namespace after since.
func (u *unwritten) overwroteSince(namespace string, since time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	writes, known := u.namespaces[namespace]
	return known && writes.overwritten.After(since)
}

// prune drops the namespaces that need not be remembered, once the number of namespaces is
// large, because tenants come and go. The caller holds the lock.
func (u *unwritten) prune(now time.Time) {
	const many, remembered = 1024, time.Hour
	if len(u.namespaces) < many {
		return
	}
	for namespace, writes := range u.namespaces {
		idle := now.Sub(writes.overwritten) > trustOverwrite && now.Sub(writes.recovered) > remembered
		if len(writes.waiting) == 0 && idle {
			delete(u.namespaces, namespace)
		}
	}
}

// of returns the record of the namespace, and creates it if necessary. The caller holds the
// lock.
func (u *unwritten) of(namespace string) *namespaceWrites {
	if u.namespaces == nil {
		u.namespaces = map[string]*namespaceWrites{}
	}
	writes, known := u.namespaces[namespace]
	if !known {
		writes = &namespaceWrites{waiting: map[types.NamespacedName]struct{}{}}
		u.namespaces[namespace] = writes
	}
	return writes
}
