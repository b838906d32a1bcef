package workos

import (
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
)

// MinInterval is the least time between two calls for one connection from one share. It is kept in
// memory: whatever is created, deleted, edited or annotated, it makes no call more.
const MinInterval = 5 * time.Second

// floors is when the last calls left, and what they brought.
type floors struct {
	last    map[floor]lastCall
	cleaned time.Time
}

type floor struct {
	call  call
	share string
}

type lastCall struct {
	left time.Time
	// answer is nil until there is a token that lives for longer than the floor.
	answer *Answer
	// served have got the answer. held were told to come back, and before are those who were told
	// so before this call left.
	served, held, before sets.Set[string]
}

func newFloors() *floors { return &floors{last: map[floor]lastCall{}} }

// wait returns how long a call has to wait, or the answer that the last one brought somebody else. A
// refresh gets it only if it was asked for before that call left. A call without a share has no
// floor.
func (f *floors) wait(asking call, turn Turn, now time.Time) (time.Duration, *Answer) {
	last, ok := f.last[floor{asking, turn.Share}]
	if turn.Share == "" || !ok || now.Before(last.left) { // the clock has been set back
		return 0, nil
	}
	wait := max(0, last.left.Add(MinInterval).Sub(now))
	if wait == 0 {
		return 0, nil
	}
	late := turn.Refresh && !last.before.Has(turn.Asker)
	if last.answer == nil || late || last.served.Has(turn.Asker) {
		last.held.Insert(turn.Asker)
		return wait, nil
	}
	last.served.Insert(turn.Asker)
	return wait, last.answer
}

// leave notes that a call leaves, and drops those that count no more.
func (f *floors) leave(asking call, turn Turn, now time.Time) {
	if turn.Share == "" {
		return
	}
	if now.Sub(f.cleaned) >= MinInterval || now.Before(f.cleaned) {
		f.cleaned = now
		for key, last := range f.last {
			if now.Sub(last.left) >= keepFloor || now.Before(last.left) {
				delete(f.last, key)
			}
		}
	}
	key := floor{asking, turn.Share}
	f.last[key] = lastCall{
		left: now, served: sets.New(turn.Asker), held: sets.New[string](), before: f.last[key].held,
	}
}

// keepFloor is longer than MinInterval: those who were held back come when that is over, and the
// next call is theirs, too.
const keepFloor = 2 * MinInterval

// mostShared bounds the bytes of an answer that is kept for others.
const mostShared = 4 << 10

// answered keeps a token for those of the same share who ask for it within the floor. One that
// expires so soon is nothing to share: WorkOS may have another one by then.
func (f *floors) answered(asked call, turn Turn, answer Answer) {
	key := floor{asked, turn.Share}
	last, ok := f.last[key]
	expires := answer.Token.ExpiresAt
	lasts := expires.IsZero() || expires.After(last.left.Add(MinInterval))
	if !ok || answer.Outcome != OutcomeToken || !lasts || answer.Token.bytes() > mostShared {
		return
	}
	last.answer = &answer
	f.last[key] = last
}
