package memo_test

import (
	"testing"

	"github.com/pipes-operator/pipes-operator/internal/memo"
)

func TestAResultIsComputedOnce(t *testing.T) {
	table, computed := memo.New[string, int](10, 100), 0
	for range 3 {
		got := table.Of("four", 4, func() int { computed++; return 4 })
		if got != 4 {
			t.Errorf("got %d", got)
		}
	}
	if computed != 1 {
		t.Errorf("computed %d times", computed)
	}
}

func TestATableIsBounded(t *testing.T) {
	table := memo.New[int, int](10, 100)
	for i := range 1000 {
		table.Of(i, i%50, func() int { return i })
		if results, bytes := table.Holds(); results > 10 || bytes > 100 {
			t.Fatalf("%d results of %d bytes", results, bytes)
		}
	}
}
