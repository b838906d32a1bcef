package renewal

import "time"

// Due is one future renewal.
type Due struct {
	// At is when the renewal becomes due, and Expires is its deadline. A zero Expires means
	// that no token is lost by waiting.
	At, Expires time.Time
	// Every is the interval at which that token is renewed.
	Every time.Duration
}

const (
	// demandHorizon is how far ahead Demand looks. It is longer than the longest default lead,
	// so that Demand shows a cluster of renewals before the first of them is due.
	demandHorizon = time.Hour
	// demandGrain is the resolution of the look-ahead.
	demandGrain = 30 * time.Second
	// demandWindow is the shortest window that counts, because budgets are given per minute.
	demandWindow = time.Minute
)

// Demand returns how many calls per minute are needed to renew everything in time. It is the
// average or the peak of the coming hour, whichever is higher.
func Demand(now time.Time, renewals []Due) (perMinute float64) {
	for _, renewal := range renewals {
		perMinute += time.Minute.Seconds() / max(renewal.Every, MinInterval).Seconds()
	}
	return max(perMinute, peak(now, renewals))
}

// peak returns the highest demand of any window in the coming hour, in renewals per minute of
// that window. A renewal counts in a window if it becomes due and its token expires in that
// window.
func peak(now time.Time, renewals []Due) (perMinute float64) {
	const grains = int(demandHorizon / demandGrain)
	// inside[s][e] is the number of renewals that lie between the start of grain s and the end
	// of grain e.
	var inside [grains][grains]int
	for _, renewal := range renewals {
		if !renewal.Expires.After(now) || !renewal.Expires.Before(now.Add(demandHorizon)) {
			continue
		}
		from := max(0, int(renewal.At.Sub(now)/demandGrain))
		inside[min(from, grains-1)][int(renewal.Expires.Sub(now)/demandGrain)]++
	}
	for end := range grains {
		// This loop adds the renewals that begin in later grains. The next loop adds those that
		// end in earlier grains.
		for begin := grains - 2; begin >= 0; begin-- {
			inside[begin][end] += inside[begin+1][end]
		}
	}
	for begin := range grains {
		for end := 1; end < grains; end++ {
			inside[begin][end] += inside[begin][end-1]
		}
		for end := begin; end < grains; end++ {
			window := max(time.Duration(end+1-begin)*demandGrain, demandWindow)
			perMinute = max(perMinute, float64(inside[begin][end])/window.Minutes())
		}
	}
	return perMinute
}
