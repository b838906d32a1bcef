package walltime_test

import (
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/test/harness/walltime"
)

func TestSetMovesTheWallTimeAlone(t *testing.T) {
	now := time.Now()
	for _, by := range []time.Duration{-6 * time.Hour, 0, 90 * time.Minute} {
		set := walltime.Set(now, now.Add(by))
		if got := set.Round(0).Sub(now.Round(0)); got != by {
			t.Errorf("the wall time moved by %v, not %v", got, by)
		}
		if got := set.Sub(now); got != 0 {
			t.Errorf("the monotonic reading moved by %v", got)
		}
	}
}
