package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// unwritten keeps which PipesTokens wait until the API server takes their Secrets again. Admission,
// quotas and rights are those of a namespace: what works again for one object there is tried at once
// for the others, so each of them needs to try only now and then.
type unwritten struct {
	mu         sync.Mutex
	namespaces map[string]*namespaceWrites
}

type namespaceWrites struct {
	waiting map[types.NamespacedName]struct{}
	// recovered is when one of those who waited was written again.
	recovered time.Time
	// overwritten is when a token was last replaced, and nothing was changed by admission.
	overwritten time.Time
}

// failed notes that the Secret of name was not written, and returns how many wait in its namespace.
func (u *unwritten) failed(name types.NamespacedName) (crowd int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	writes := u.of(name.Namespace)
	writes.waiting[name] = struct{}{}
	return len(writes.waiting)
}

// worked notes that the API server takes the Secret of name. If name has waited, it returns the others
// in the namespace that wait.
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

// forget drops a PipesToken that is gone.
func (u *unwritten) forget(name types.NamespacedName) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if writes, known := u.namespaces[name.Namespace]; known {
		delete(writes.waiting, name)
	}
}

// recoveredAt is when the API server last took a Secret of the namespace again; zero: never.
func (u *unwritten) recoveredAt(namespace string) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if writes, known := u.namespaces[namespace]; known {
		return writes.recovered
	}
	return time.Time{}
}

// overwrote notes that a token was replaced, and that admission left the Secret as it was written.
func (u *unwritten) overwrote(namespace string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.of(namespace).overwritten = now
	u.prune(now)
}

// overwroteSince says whether that has happened in the namespace since then.
func (u *unwritten) overwroteSince(namespace string, since time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	writes, known := u.namespaces[namespace]
	return known && writes.overwritten.After(since)
}

// prune drops namespaces of which nothing has to be remembered any more, once there are many: tenants
// come and go. The lock is held.
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

// of returns what is known of the namespace. The lock is held.
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
