package workos

import (
	"context"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// When crowd calls of one integration have been under way for crowdAge, further callers of
	// this integration wait only for Options.Patience divided by hastily. Otherwise they would
	// occupy the workers without success, and other users of the key would wait for a worker.
	crowd, hastily = 3, 10
	crowdAge       = time.Second
	// parkLife is how long an answer is kept that came when no caller waited for it any more.
	parkLife = 30 * time.Second
)

// parked is an answer that came when no caller waited for it. asker is the asker of the call.
type parked struct {
	answer Answer
	asker  string
	at     time.Time
}

// enter records that a caller waits for a call. If the answer of that call has come in the
// meantime, enter returns the answer instead. A refresh neither takes the answer of another
// asker's call nor joins that call: it is held back until the call is over.
func (k *keyState) enter(asking call, turn Turn, now time.Time) (answer Answer, here bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if left, ok := k.parked[asking]; ok && (!turn.Refresh || left.asker == turn.Asker) {
		delete(k.parked, asking)
		if now.Sub(left.at) < parkLife {
			return left.answer, true
		}
	}
	if u := k.underway[asking]; u != nil && turn.Refresh && u.turn.Asker != turn.Asker {
		wait, _ := k.floors.wait(asking, turn, now)
		return held("a request that left before the refresh was asked for is on its way", max(wait, time.Second)), true
	}
	k.waiting[asking]++
	return Answer{}, false
}

// stopWaiting records that a caller no longer waits for a call, and reports whether the call is
// still under way.
func (k *keyState) stopWaiting(asking call) (underway bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waiting[asking]--; k.waiting[asking] <= 0 {
		delete(k.waiting, asking)
	}
	return k.underway[asking] != nil
}

// park keeps the answer of a call for which no caller waits, and returns the owners that have
// to ask again to get it.
func (k *keyState) park(asked call, answer Answer, now time.Time) []release {
	k.mu.Lock()
	defer k.mu.Unlock()
	asker := ""
	if u := k.underway[asked]; u != nil {
		asker = u.turn.Asker
	}
	// From now on a caller that stops waiting for this call takes its answer (see await).
	delete(k.underway, asked)
	if k.waiting[asked] > 0 {
		return nil
	}
	k.forgetParked(now)
	k.parked[asked] = parked{answer, asker, now}
	k.epoch = k.epochs.Add(1)
	return []release{{k.ownersAt(asked.base, false), asked.request}}
}

// forgetParked drops answers that no caller has fetched within parkLife.
func (k *keyState) forgetParked(now time.Time) {
	for asked, left := range k.parked {
		if now.Sub(left.at) >= parkLife {
			delete(k.parked, asked)
		}
	}
}

// patience returns how long a caller waits for a call.
func (k *keyState) patience(asking call, whole time.Duration, now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	slow := 0
	for other, u := range k.underway {
		if other.integration() == asking.integration() && now.Sub(u.left) >= crowdAge {
			slow++
		}
	}
	if slow >= crowd {
		return whole / hastily
	}
	return whole
}

// await waits for the answer of a call for as long as the caller has patience. After that the
// call goes on, and park keeps its answer.
func (c *Client) await(
	ctx context.Context, asking call, flight <-chan singleflight.Result,
) (landed singleflight.Result, err error) {
	waiting := ctx
	if c.upstream.patience > 0 {
		var cancel context.CancelFunc
		patience := c.state.patience(asking, c.upstream.patience, c.upstream.clock.Now())
		waiting, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	select {
	case landed = <-flight:
		c.state.stopWaiting(asking)
		return landed, nil
	case <-waiting.Done():
	}
	underway := c.state.stopWaiting(asking)
	if err := ctx.Err(); err != nil {
		return singleflight.Result{}, err
	}
	if !underway {
		return <-flight, nil
	}
	return singleflight.Result{Val: Answer{
		Outcome: OutcomeHeld, Message: "the request is on its way",
		RetryAfter: c.upstream.timeout, Epoch: c.Epoch(),
	}}, nil
}
