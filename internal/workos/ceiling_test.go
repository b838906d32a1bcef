package workos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// flight is a request under way. WorkOS receives it some time before it ends.
type flight struct{ received, ends time.Time }

// fly sends one request after another, each as soon as the budget allows it, until length has
// passed. It returns the times at which WorkOS received them. latency returns how long the next
// request takes, and WorkOS receives the request within that time.
func fly(b *budget, random *rand.Rand, length time.Duration, latency func() time.Duration) []time.Time {
	var underway []flight
	var received []time.Time
	start := time.Unix(0, 0)
	turn, n := start, 0
	for now := start; now.Sub(start) < length; now = now.Add(10 * time.Millisecond) {
		underway = slices.DeleteFunc(underway, func(f flight) bool {
			if f.ends.After(now) {
				return false
			}
			b.end(f.ends)
			return true
		})
		for !now.Before(turn) {
			if wait := b.take(call{base: fmt.Sprint(n)}, Turn{}, now); wait > 0 {
				turn = now.Add(wait)
				break
			}
			n++
			took := latency()
			f := flight{now.Add(time.Duration(random.Int64N(int64(took) + 1))), now.Add(took)}
			underway, received = append(underway, f), append(received, f.received)
		}
	}
	slices.SortFunc(received, time.Time.Compare)
	return received
}

// The time at which WorkOS receives a request counts: requests that are delayed on the way
// arrive together with later requests.
func TestWorkOSNeverReceivesMoreThanTheBudgetWithinAMinute(t *testing.T) {
	const length = 5 * time.Minute
	for _, limit := range []int{1, 30, 60, 600} {
		for name, longest := range map[string]time.Duration{"quick": 400 * time.Millisecond, "slow": 10 * time.Second} {
			t.Run(fmt.Sprint(limit, " ", name), func(t *testing.T) {
				random := rand.New(rand.NewPCG(uint64(limit), 0))
				received := fly(newBudget(limit), random, length, func() time.Duration {
					return time.Duration(random.Int64N(2)) * longest // either at once or as late as possible
				})
				for i := limit; i < len(received); i++ {
					if d := received[i].Sub(received[i-limit]); d < time.Minute {
						t.Fatalf("WorkOS receives %d requests within %v", limit+1, d)
					}
				}
				// While requests take less than half a second, they do not reach the ceiling.
				share := 0.98
				if longest > 500*time.Millisecond {
					share = 0.98 * float64(time.Minute) / float64(time.Minute+longest)
				}
				if least := int(share*float64(limit)*length.Minutes()) - 1; len(received) < least {
					t.Errorf("got %d requests in %v, want %d or more", len(received), length, least)
				}
			})
		}
	}
}
