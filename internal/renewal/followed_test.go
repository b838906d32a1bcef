package renewal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/renewal"
)

// 100,000 PipesTokens that wait for a person cost at most 26 polls in any minute, so that 30 calls
// are enough with four requests for events. A restart in between changes nothing.
func TestFollowedPollsOfACrowd(t *testing.T) {
	const crowd = 100_000
	perMinute := map[int]int{}
	for n := range crowd {
		seed := fmt.Sprint("uid-", n)
		at, own := start, false
		for at.Sub(start) < 14*24*time.Hour {
			at = renewal.FollowedPoll(at, crowd, own, seed)
			perMinute[int(at.Sub(start)/time.Minute)]++
			own = true
		}
	}
	most, sum := 0, 0
	for minute := range 7 * 24 * 60 {
		most, sum = max(most, perMinute[minute]), sum+perMinute[minute]
	}
	t.Logf("at most %d polls a minute, %.1f on average", most, float64(sum)/(7*24*60))
	if most > 26 {
		t.Errorf("%d polls in one minute", most)
	}
	if sum < crowd*2/5 {
		t.Errorf("only %d polls in a week", sum)
	}
}

func TestFollowedPollOfASmallCrowd(t *testing.T) {
	for n := range 100 {
		seed := fmt.Sprint("uid-", n)
		if wait := renewal.FollowedPoll(start, n, true, seed).Sub(start); wait < 30*time.Minute || wait > 90*time.Minute {
			t.Errorf("own: got %s", wait)
		}
		if wait := renewal.FollowedPoll(start, n, false, seed).Sub(start); wait < 0 || wait > time.Hour {
			t.Errorf("after a restart: got %s", wait)
		}
		if wait := renewal.LostPoll(start, seed).Sub(start); wait < 0 || wait > 10*time.Minute {
			t.Errorf("after the events are lost: got %s", wait)
		}
	}
}
