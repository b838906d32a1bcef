package workos

import (
	"slices"
	"time"
)

// owner is a PipesEnvironment that uses the key.
type owner struct {
	base              string
	requestsPerMinute int
	needed            float64 // requests per minute that renewals need
}

// join registers an owner that uses the key at base. From now on the key makes at most
// requestsPerMinute.
func (k *keyState) join(name, base string, requestsPerMinute int, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owners[name] = owner{base, requestsPerMinute, k.owners[name].needed}
	k.applyLimit(now)
}

// leave removes an owner and its limit. The last limit stays in force for clients that are
// still in use.
func (k *keyState) leave(name string, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.owners, name)
	k.applyLimit(now)
}

func (k *keyState) applyLimit(now time.Time) {
	if len(k.owners) == 0 {
		return
	}
	limits := make([]int, 0, len(k.owners))
	for _, known := range k.owners {
		limits = append(limits, known.requestsPerMinute)
	}
	k.budget.setLimit(slices.Min(limits), now)
}

// need records how many requests a minute an owner needs. It returns how many all owners need
// together, and how many they may make.
func (k *keyState) need(name string, perMinute float64) (together float64, limit int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if known, ok := k.owners[name]; ok {
		known.needed = perMinute
		k.owners[name] = known
	}
	for _, known := range k.owners {
		together += known.needed
	}
	return together, k.budget.limit
}

// ownersAt returns the owners that use the key at a base URL. With anywhere it returns all
// owners, because a gate of the whole key may have opened.
func (k *keyState) ownersAt(base string, anywhere bool) (names []string) {
	for name, owner := range k.owners {
		if anywhere || owner.base == base {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
