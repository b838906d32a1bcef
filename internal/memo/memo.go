// Package memo remembers the results of pure functions, in a bounded table.
package memo

import "sync"

// Table holds results by the input that they were computed from. If it is full, it is emptied, and
// the results are computed again. Use New to make one.
type Table[K comparable, V any] struct {
	most, mostBytes int

	mu      sync.Mutex
	results map[K]V
	bytes   int
}

// New returns a Table that holds up to most results. Their inputs and results take up to mostBytes
// bytes, as the callers of Of count them.
func New[K comparable, V any](most, mostBytes int) *Table[K, V] {
	return &Table[K, V]{most: most, mostBytes: mostBytes, results: map[K]V{}}
}

// Of returns the result for input. It calls compute only if the Table does not hold the result.
// bytes is the memory that input and result take. Callers must not change the result.
func (t *Table[K, V]) Of(input K, bytes int, compute func() V) V {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.results[input]; ok {
		return known
	}
	if len(t.results) >= t.most || t.bytes+bytes > t.mostBytes {
		clear(t.results)
		t.bytes = 0
	}
	result := compute()
	t.results[input] = result
	t.bytes += bytes
	return result
}

// Holds returns the number of results, and their bytes.
func (t *Table[K, V]) Holds() (results, bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.results), t.bytes
}
