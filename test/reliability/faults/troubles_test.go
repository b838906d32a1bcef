//go:build reliability

package faults_test

import (
	"slices"
	"sync"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// trouble is a time in which the operator cannot be expected to work: its connection to the API
// server or to WorkOS is bad, or there is no leader.
type trouble struct {
	from, to time.Time
	what     string
	// id or environment limits the trouble to one connection or to one PipesEnvironment. If
	// neither is set, the trouble affects all PipesTokens.
	id          *workossim.ID
	environment string
	// wire: calls to WorkOS may have been delayed, and then arrive all at once.
	wire bool
}

// befalls reports whether the trouble affects a PipesToken.
func (t trouble) befalls(c *citizen) bool {
	switch {
	case t.id != nil:
		return *t.id == c.connection.ID
	case t.environment != "":
		return c.spec.EnvironmentRef != nil && c.spec.EnvironmentRef.Name == t.environment
	default:
		return true
	}
}

// troubles are all troubles of a storm.
type troubles struct {
	mu    sync.Mutex
	all   []trouble
	kinds map[string]int
}

func newTroubles() *troubles { return &troubles{kinds: map[string]int{}} }

func (l *troubles) add(t trouble) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, t)
}

// last notes a trouble that begins now and lasts for that time.
func (l *troubles) last(span time.Duration, what string) {
	now := time.Now()
	l.add(trouble{from: now, to: now.Add(span), what: what})
}

// during notes a trouble that begins now and ends afterwards after do has returned.
func (l *troubles) during(what string, afterwards time.Duration, do func()) {
	from := time.Now()
	do()
	l.add(trouble{from: from, to: time.Now().Add(afterwards), what: what})
}

// inject counts a fault of a kind.
func (l *troubles) inject(kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kinds[kind]++
}

// injected returns the number of faults of each kind.
func (l *troubles) injected() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[string]int{}
	for kind, count := range l.kinds {
		counts[kind] = count
	}
	return counts
}

func (l *troubles) list() []trouble {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// stretch is a time without trouble.
type stretch struct{ from, to time.Time }

// calm returns the stretches without trouble between two times.
func calm(from, to time.Time, all []trouble) []stretch {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b trouble) int { return a.from.Compare(b.from) })
	var found []stretch
	for _, t := range sorted {
		if !t.to.After(from) || !t.from.Before(to) {
			continue
		}
		if t.from.After(from) {
			found = append(found, stretch{from, t.from})
		}
		from = t.to
	}
	if from.Before(to) {
		found = append(found, stretch{from, to})
	}
	return found
}
