package workos

import "time"

const (
	// lineGap is the time between two that are told to come back, and placeGap that between the
	// heads of two lines.
	lineGap, placeGap = 20 * time.Millisecond, 5 * time.Millisecond
	// longestLine bounds what that adds up to. Whatever they wait for, all are called back at once
	// when it ends.
	longestLine = 5 * time.Minute
)

// line is the line of those who are held back for the same reason and are alike.
type line struct {
	share                string
	proven, last, urgent bool
}

// lines spread those who are held back over time: a hundred thousand that came back at the same
// instant would only be told to wait again. The first of a line comes in time, and a line that has
// few in it does not wait for one that has many.
type lines map[line]*queue

// queue is where a line stands among the others, and when the next one in it shall come.
type queue struct {
	place time.Duration
	next  time.Time
}

// join returns how long to wait for who may come after wait, and not before those ahead in the
// line.
func (l lines) join(like line, now time.Time, wait time.Duration) time.Duration {
	joined := l[like]
	if joined == nil {
		joined = &queue{place: time.Duration(len(l)) * placeGap % longestLine}
		l[like] = joined
	}
	earliest := now.Add(wait + joined.place)
	if joined.next.Before(earliest) || joined.next.Sub(earliest) > longestLine {
		joined.next = earliest
	}
	told := joined.next.Sub(now)
	joined.next = joined.next.Add(lineGap)
	return told
}
