package renewal

import "time"

// SlowPoll returns the delay until the next poll of a problem that has waited for a human since
// the given instant. Polls are frequent after the change and rare later. They need no stored
// counter.
func SlowPoll(now, since time.Time) time.Duration {
	return min(max(now.Sub(since)/pollShare, minPoll), maxPoll).Truncate(time.Second)
}

const (
	// followedPoll is the least time between two slow polls while events announce what a poll would
	// find. followedGap is the mean time between two such polls of all PipesTokens of an
	// environment: 8 a minute, however many PipesTokens wait for a person.
	followedPoll = time.Hour
	followedGap  = 8 * time.Second
)

// FollowedPoll returns when to poll again while the events of WorkOS are followed. The poll finds a
// change whose event was lost. notBefore is when SlowPoll would poll, and crowd is the number of
// PipesTokens of the environment that are polled like this one. own says that this process has made
// the last poll; otherwise that poll may be of any age, and the next one comes at any time.
func FollowedPoll(notBefore time.Time, crowd int, own bool, seed string) time.Time {
	every := max(followedPoll, time.Duration(crowd)*followedGap)
	part := draw(seed+"followed", notBefore.Unix())
	if own {
		part += 0.5 // all that were polled at the same moment spread out
	}
	return notBefore.Add(time.Duration(part * float64(every))).Truncate(time.Second)
}

// LostPoll returns when to poll after the events of WorkOS are no longer followed. All delayed polls
// are due at that moment, so they are spread over the longest time between two slow polls.
func LostPoll(lost time.Time, seed string) time.Time {
	return lost.Add(time.Duration(draw(seed+"lost", lost.Unix()) * float64(maxPoll))).Truncate(time.Second)
}
