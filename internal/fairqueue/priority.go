package fairqueue

import (
	"math"
	"time"
)

// Priorities say why an object is to be reconciled. Anything above Ordinary is urgent; what is at
// or below Ordinary, such as controller-runtime's handler.LowPriority, is not.
const (
	// Withdrawal is for changes that may take a right away: a token may have to go.
	Withdrawal = math.MaxInt
	// Ordinary is for edits, new objects and polls. It is the default.
	Ordinary = 0
)

// Renewal is the priority of an object that something has to be done for until deadline. An earlier
// deadline is more urgent, in whole seconds. Every Renewal is above Ordinary and below Withdrawal.
func Renewal(deadline time.Time) int {
	return max(Withdrawal-1-int(max(deadline.Unix(), 0)), Ordinary+1)
}

// class is a range of priorities that metrics count together.
type class int

const (
	ordinary class = iota
	renewal
	withdrawal
	classes
)

func classOf(priority int) class {
	switch {
	case priority == Withdrawal:
		return withdrawal
	case priority > Ordinary:
		return renewal
	default:
		return ordinary
	}
}

func (c class) String() string {
	return [classes]string{"ordinary", "renewal", "withdrawal"}[c]
}
