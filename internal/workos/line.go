package workos

import "time"

const (
	// lineGap is the time between two callers of a line, and placeGap the time between the
	// heads of two lines.
	lineGap, placeGap = 20 * time.Millisecond, 5 * time.Millisecond
	// longestLine bounds the sum of these gaps. A longer line begins again at its head. The order
	// is not essential: all callers are called back at once when the reason for their wait ends.
	longestLine = 5 * time.Minute
)

// line identifies a line: callers that are held back for the same reason and are alike.
type line struct {
	share                string
	proven, last, urgent bool
}

// lines spread held-back callers over time. If a hundred thousand callers came back at the same
// instant, nearly all of them would only be told to wait again. The head of a line is hardly
// delayed, and a short line does not wait for a long line.
type lines map[line]*queue

// queue is the place of a line among the others, and the time at which its next caller should
// come.
type queue struct {
	place time.Duration
	next  time.Time
}

// join adds a caller to a line and returns how long it has to wait: at least wait, and longer
// than the callers ahead in the line.
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
