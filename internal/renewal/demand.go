package renewal

import "time"

// Due is one renewal to come.
type Due struct {
	// At is when it may be asked for, and Expires until when it has to be. Zero: no token is lost by waiting.
	At, Expires time.Time
	// Every is how often such a token is renewed.
	Every time.Duration
}

const (
	// demandHorizon is how far ahead Demand looks: longer than the longest default lead, so that it tells before the first
	// renewal of a cluster of them is due.
	demandHorizon = time.Hour
	// demandGrain is how finely it looks.
	demandGrain = 30 * time.Second
	// demandWindow is the shortest window that counts: a minute is what budgets are told in.
	demandWindow = time.Minute
)

// Demand is how many calls a minute it takes to renew everything in time: on average, or in the coming hour, whichever is more.
func Demand(now time.Time, renewals []Due) (perMinute float64) {
	for _, renewal := range renewals {
		perMinute += time.Minute.Seconds() / max(renewal.Every, MinInterval).Seconds()
	}
	return max(perMinute, peak(now, renewals))
}

// peak is the most renewals that fall, from the time they are due until their tokens expire, into any one window of the coming hour,
// per minute of that window.
func peak(now time.Time, renewals []Due) (perMinute float64) {
	const grains = int(demandHorizon / demandGrain)
	// inside[s][e] is how many lie between the beginning of grain s and the end of grain e.
	var inside [grains][grains]int
	for _, renewal := range renewals {
		if !renewal.Expires.After(now) || !renewal.Expires.Before(now.Add(demandHorizon)) {
			continue
		}
		from := max(0, int(renewal.At.Sub(now)/demandGrain))
		inside[min(from, grains-1)][int(renewal.Expires.Sub(now)/demandGrain)]++
	}
	for end := range grains {
		// Walking backwards from the end, what begins later has been counted already; what ends earlier is added below.
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
