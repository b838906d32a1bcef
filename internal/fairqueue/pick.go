package fairqueue

import (
	"time"
)

// pick takes the next object, if any object can be picked. The object is running until done is
// called for it.
func (s *schedule) pick(now time.Duration) (*place, bool) {
	p := s.choose()
	if p == nil {
		return nil, false
	}
	o := p.object
	o.place, o.running, o.timer, o.held = nil, true, never, false
	if p.edited {
		o.quietUntil = now + s.floor
	}
	s.wait(o)

	n := s.namespaces[o.request.Namespace]
	if s.within(n) {
		n.running++
		s.running++
	} else {
		n.extra = o
	}
	s.picks++
	s.turn++
	s.depth[classOf(p.priority)]--
	n.remove(p)
	n.picks++
	n.turn = s.turn
	s.rank(n)
	return p, true
}

// choose alternates between the most urgent namespace and the namespace whose turn it is.
func (s *schedule) choose() *place {
	var n *namespace
	if s.picks%2 == 0 {
		n = s.first(&s.byNeed, func(n *namespace) bool { return n.head().priority > Ordinary })
	}
	if n == nil {
		n = s.first(&s.byTurn, func(*namespace) bool { return true })
	}
	switch {
	case n == nil:
		return nil
	case s.within(n):
		return n.next()
	default:
		return n.head() // the withdrawal that runs beyond the limit
	}
}

// first returns the first namespace of an index that may have another worker. It returns nil if
// it reaches a namespace that is not wanted. A namespace that may not have another worker
// already holds one, so no more namespaces than workers must be set aside.
func (s *schedule) first(line *index[*namespace], wanted func(*namespace) bool) *namespace {
	var aside []*namespace
	defer func() {
		for _, n := range aside {
			line.put(n)
		}
	}()
	for {
		n, ok := line.first()
		switch {
		case !ok || !wanted(n):
			return nil
		case s.mayRun(n):
			return n
		}
		line.remove(n)
		aside = append(aside, n)
	}
}

// extraFrom is the least number of workers with which a withdrawal may run beyond the limit.
// With fewer workers, that worker is more than the other namespaces can spare.
const extraFrom = 6

// mayRun reports whether the namespace may have another worker. It may not hold more workers
// than are free. One withdrawal may run beyond this limit, because it must not wait for calls
// that hang.
func (s *schedule) mayRun(n *namespace) bool {
	return s.within(n) || s.workers >= extraFrom && n.extra == nil && n.head().priority == Withdrawal
}

func (s *schedule) within(n *namespace) bool {
	return s.workers == 0 || n.running < max(s.workers-s.running, 1)
}
