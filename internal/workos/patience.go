package workos

import (
	"context"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// crowd of calls of one integration that have been under way for crowdAge make further callers
	// wait hastily only: a tenth of Options.Patience. The others that use the key would otherwise
	// wait for workers that wait for nothing.
	crowd, hastily = 3, 10
	crowdAge       = time.Second
	// parkLife is how long an answer is kept that came when nobody waited for it any more.
	parkLife = 30 * time.Second
)

// parked is an answer that nobody has waited for, to a call of asker.
type parked struct {
	answer Answer
	asker  string
	at     time.Time
}

// enter notes that somebody waits for a call, unless its answer has come meanwhile: then it returns
// that. A refresh does not join the call of somebody else, and waits until that is over.
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

// stopWaiting notes that somebody no longer waits for a call, and says whether it is still under
// way.
func (k *keyState) stopWaiting(asking call) (underway bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waiting[asking]--; k.waiting[asking] <= 0 {
		delete(k.waiting, asking)
	}
	return k.underway[asking] != nil
}

// park keeps the answer of a call for which nobody waits, and returns who has to ask again to get
// it.
func (k *keyState) park(asked call, answer Answer, now time.Time) []release {
	k.mu.Lock()
	defer k.mu.Unlock()
	asker := ""
	if u := k.underway[asked]; u != nil {
		asker = u.turn.Asker
	}
	// From now on nobody leaves this call any more: who stops waiting takes the answer along.
	delete(k.underway, asked)
	if k.waiting[asked] > 0 {
		return nil
	}
	k.forgetParked(now)
	k.parked[asked] = parked{answer, asker, now}
	k.epoch = k.epochs.Add(1)
	return []release{{k.ownersAt(asked.base, false), asked.request}}
}

// forgetParked drops answers that nobody has come for.
func (k *keyState) forgetParked(now time.Time) {
	for asked, left := range k.parked {
		if now.Sub(left.at) >= parkLife {
			delete(k.parked, asked)
		}
	}
}

// patience is how long a caller waits for a call.
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

// await waits for a call to be answered, for as long as the caller has patience. After that the
// call goes on, and its answer is kept.
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
