package workos

import "time"

// MinInterval is the least time between two calls for one connection from one share. It is kept in
// memory: whatever is created, deleted, edited or annotated, it makes no call more.
const MinInterval = 5 * time.Second

// floors is when the last calls left.
type floors struct {
	left    map[floor]time.Time
	cleaned time.Time
}

type floor struct {
	call  call
	share string
}

func newFloors() *floors { return &floors{left: map[floor]time.Time{}} }

// wait returns how long a call has to wait. A call without a share has no floor.
func (f *floors) wait(asking call, share string, now time.Time) time.Duration {
	left, ok := f.left[floor{asking, share}]
	if share == "" || !ok || now.Before(left) { // the clock has been set back
		return 0
	}
	return max(0, left.Add(MinInterval).Sub(now))
}

// leave notes that a call leaves, and drops those that count no more.
func (f *floors) leave(asking call, share string, now time.Time) {
	if share == "" {
		return
	}
	if now.Sub(f.cleaned) >= MinInterval || now.Before(f.cleaned) {
		f.cleaned = now
		for last, left := range f.left {
			if now.Sub(left) >= MinInterval || now.Before(left) {
				delete(f.left, last)
			}
		}
	}
	f.left[floor{asking, share}] = now
}
