package fairqueue

import (
	"math"
	"time"
)

// Priorities say why an object is reconciled. Priorities above Ordinary are urgent. Ordinary
// and lower priorities, such as handler.LowPriority of controller-runtime, are not.
const (
	// Withdrawal is for changes that may take away a right. A token may have to be removed.
	Withdrawal = math.MaxInt
	// Ordinary is for edits, new objects and polls. It is the default.
	Ordinary = 0
)

// Renewal returns the priority of an object that must be reconciled before deadline. An earlier
// deadline is more urgent, in whole seconds. Every Renewal is above Ordinary and below
// Withdrawal.
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
