package workossim

import "slices"

// faultQueue holds the faults in the order in which they were injected.
type faultQueue []*Fault

// first returns the fault that decides the answer to a call, or nil.
func (q faultQueue) first(e Endpoint, id ID) *Fault {
	for _, f := range q {
		if f.Kind.class() != comesOnTop && f.matches(e, id) {
			return f
		}
	}
	return nil
}

// onTop returns the faults that apply in addition to the answer of a call.
func (q faultQueue) onTop(e Endpoint, id ID) []*Fault {
	var faults []*Fault
	for _, f := range q {
		if f.Kind.class() == comesOnTop && f.matches(e, id) {
			faults = append(faults, f)
		}
	}
	return faults
}

// deny reports whether the faults prevent a call from getting a token that it can use.
func (q faultQueue) deny(e Endpoint, id ID) bool {
	if f := q.first(e, id); f != nil && !f.leavesTokenGood() {
		return true
	}
	return slices.ContainsFunc(q.onTop(e, id), func(f *Fault) bool { return !f.leavesTokenGood() })
}

// use counts that a fault has applied to a call, and removes the fault after the last time.
func (q *faultQueue) use(used *Fault) {
	if used.Times == 0 {
		return
	}
	used.Times--
	if used.Times == 0 {
		*q = slices.DeleteFunc(*q, func(f *Fault) bool { return f == used })
	}
}
