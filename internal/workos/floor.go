package workos

import (
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
)

// MinInterval is the least time between two calls for one connection from one share. The times
// are kept in memory, so to create, delete, edit or annotate objects causes no additional call.
const MinInterval = 5 * time.Second

// floors remembers when the last calls left, and their answers.
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
	// answer is nil until the call has brought a token that is still valid when the floor ends.
	answer *Answer
	// served are the askers that have got the answer. held are the askers that were told to
	// come back after this call left, and before are those that were told so before it left.
	served, held, before sets.Set[string]
}

func newFloors() *floors { return &floors{last: map[floor]lastCall{}} }

// wait returns how long a call has to wait, or the answer that the last call brought to another
// asker. A refresh gets that answer only if its asker was held back before that call left. A
// call without a share has no floor.
func (f *floors) wait(asking call, turn Turn, now time.Time) (time.Duration, *Answer) {
	last, ok := f.last[floor{asking, turn.Share}]
	if turn.Share == "" || !ok || now.Before(last.left) { // the clock was set back
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

// leave records that a call leaves. At most once per MinInterval it drops calls that left more
// than keepFloor ago.
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

// keepFloor is how long a call is remembered. It is longer than MinInterval: callers that were
// held back come when MinInterval is over, and the next call counts as theirs, too.
const keepFloor = 2 * MinInterval

// mostShared bounds the size of an answer that is kept for others, in bytes.
const mostShared = 4 << 10

// answered keeps a token for other askers of the same share that ask for it within the floor. A
// token that expires within the floor is not shared: WorkOS may have another token by then.
func (f *floors) answered(asked call, turn Turn, answer Answer) {
	key := floor{asked, turn.Share}
	last, ok := f.last[key]
	expires := answer.Token.ExpiresAt
	lasts := expires.IsZero() || expires.After(last.left.Add(MinInterval))
	if !ok || answer.Outcome != OutcomeToken || !lasts || answer.Token.bytes() > mostShared {
		return
	}
	answer.Took = 0
	last.answer = &answer
	f.last[key] = last
}
