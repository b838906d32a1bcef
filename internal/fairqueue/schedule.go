package fairqueue

import (
	"math"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// never is later than every timer.
const never = time.Duration(math.MaxInt64)

// object is one entry of the queue. There is one for each object with a timer, so it is small: what
// only those need that are ready is in place.
type object struct {
	request reconcile.Request
	// timer is when the object becomes ready by itself, with timerPriority. never: it does not.
	timer         time.Duration
	timerPriority int
	// quietUntil is when edits count again. An edit that came before is held until then.
	quietUntil   time.Duration
	heldPriority int
	// place is where the object waits for its turn; nil while it does not.
	place   *place
	waiting int32 // position among what waits for its time
	held    bool
	running bool
}

// wakes is when the object has to be looked at next.
func (o *object) wakes() time.Duration {
	if o.held {
		return min(o.timer, o.quietUntil)
	}
	return o.timer
}

// schedule decides when objects are ready, and which of them is next. It knows no clock and no
// lock: instants are durations since the queue was made, and do not go back.
type schedule struct {
	// workers is how many objects are picked at once at most. Zero: no namespace has a limit.
	workers int
	// floor is the time between two reconciles of one object that only edits caused.
	floor time.Duration

	objects    map[reconcile.Request]*object
	waiting    index[*object]
	namespaces map[string]*namespace
	// byNeed and byTurn have each namespace with a ready object.
	byNeed, byTurn index[*namespace]

	picks uint64
	turn  uint64 // of the namespace that was picked last, or came last
	order uint64 // of the object that became ready last
	// running counts the workers that namespaces hold, but for extra withdrawals.
	running int
	// depth counts what is ready, and added what has become ready so far.
	depth [classes]int
	added uint64
}

func newSchedule(workers int, floor time.Duration) *schedule {
	return &schedule{
		workers: workers, floor: floor,
		objects: map[reconcile.Request]*object{},
		waiting: index[*object]{
			before:   func(a, b *object) bool { return a.wakes() < b.wakes() },
			position: func(o *object) *int32 { return &o.waiting },
		},
		namespaces: map[string]*namespace{},
		byNeed: index[*namespace]{
			before:   func(a, b *namespace) bool { return a.head().moreUrgent(b.head()) },
			position: func(n *namespace) *int32 { return &n.inNeed },
		},
		byTurn: index[*namespace]{
			before:   func(a, b *namespace) bool { return a.turn < b.turn },
			position: func(n *namespace) *int32 { return &n.inTurn },
		},
	}
}

// add notes an event. Urgent ones make the object ready at once, edits as soon as the floor allows.
func (s *schedule) add(request reconcile.Request, priority int, now time.Duration) {
	o := s.object(request)
	if edited := priority <= Ordinary; edited && o.place == nil && now < o.quietUntil {
		if !o.held || priority > o.heldPriority {
			o.held, o.heldPriority = true, priority
		}
		s.wait(o)
	} else {
		s.ready(o, priority, edited, now)
	}
}

// addAt sets the object's timer, unless it has an earlier one.
func (s *schedule) addAt(request reconcile.Request, priority int, at time.Duration) {
	o := s.object(request)
	switch {
	case at < o.timer:
		o.timer, o.timerPriority = at, priority
	case at == o.timer:
		o.timerPriority = max(o.timerPriority, priority)
	}
	s.wait(o)
}

// advance makes ready what is due at now.
func (s *schedule) advance(now time.Duration) {
	for s.next() <= now {
		o, _ := s.waiting.first()
		if o.held && o.quietUntil <= now {
			o.held = false
			s.ready(o, o.heldPriority, true, now)
		}
		if o.timer <= now {
			o.timer = never
			s.ready(o, o.timerPriority, false, now)
		}
		s.wait(o)
	}
}

// next is when advance has something to do.
func (s *schedule) next() time.Duration {
	if o, ok := s.waiting.first(); ok {
		return o.wakes()
	}
	return never
}

// pick takes the object whose turn it is, if there is one: it is running until done.
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

// choose alternates between the most urgent namespace, and the one whose turn it is.
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

// first is the first namespace of an index that may have another worker, if it is wanted. Those that
// may not hold a worker already, so that no more than there are workers have to be set aside.
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

// extraFrom is the least number of workers of which one can be an extra one for a withdrawal: of
// fewer it would be more than a neighbour can do without.
const extraFrom = 6

// mayRun says whether the namespace may have another worker. It may not hold more than are free; but
// one withdrawal runs beyond that, so that it does not wait until calls end that hang.
func (s *schedule) mayRun(n *namespace) bool {
	return s.within(n) || s.workers >= extraFrom && n.extra == nil && n.head().priority == Withdrawal
}

func (s *schedule) within(n *namespace) bool {
	return s.workers == 0 || n.running < max(s.workers-s.running, 1)
}

// done ends what pick began. What became ready meanwhile gets its place now.
func (s *schedule) done(request reconcile.Request, now time.Duration) {
	o, ok := s.objects[request]
	if !ok || !o.running {
		return
	}
	o.running = false
	n := s.namespaces[request.Namespace]
	if n.extra == o {
		n.extra = nil
	} else {
		n.running--
		s.running--
	}
	if o.place != nil {
		o.place.since = now
		s.enter(o.place)
	} else if o.wakes() == never {
		delete(s.objects, request)
	}
	s.rank(n)
}

func (s *schedule) object(request reconcile.Request) *object {
	o, ok := s.objects[request]
	if !ok {
		o = &object{request: request, timer: never}
		s.objects[request] = o
	}
	return o
}

// wait files an object by the time at which it has to be looked at.
func (s *schedule) wait(o *object) {
	if o.wakes() == never {
		s.waiting.remove(o)
	} else {
		s.waiting.put(o)
	}
}

// ready gives the object a place, or a better one. The place of a running object cannot be picked.
func (s *schedule) ready(o *object, priority int, edited bool, now time.Duration) {
	p := o.place
	if p == nil {
		s.order++
		o.place = &place{object: o, priority: priority, order: s.order, since: now, edited: edited}
		if !o.running {
			s.enter(o.place)
		}
		return
	}
	before := p.priority
	p.priority, p.edited = max(before, priority), p.edited && edited
	if !o.running {
		s.depth[classOf(before)]--
		s.depth[classOf(p.priority)]++
		n := s.namespace(o.request.Namespace)
		n.put(p)
		s.rank(n)
	}
}

// enter makes a place one of those that can be picked.
func (s *schedule) enter(p *place) {
	s.added++
	s.depth[classOf(p.priority)]++
	n := s.namespace(p.object.request.Namespace)
	n.put(p)
	s.rank(n)
}

func (s *schedule) namespace(name string) *namespace {
	n, ok := s.namespaces[name]
	if !ok {
		s.turn++
		n = newNamespace(name, s.turn)
		s.namespaces[name] = n
	}
	return n
}

// rank files a namespace anew after its places or its workers have changed.
func (s *schedule) rank(n *namespace) {
	switch {
	case n.byNeed.len() > 0:
		s.byNeed.put(n)
		s.byTurn.put(n)
		return
	case n.running == 0 && n.extra == nil:
		delete(s.namespaces, n.name)
	}
	s.byNeed.remove(n)
	s.byTurn.remove(n)
}

// len is how many objects can be picked.
func (s *schedule) len() int {
	sum := 0
	for _, count := range s.depth {
		sum += count
	}
	return sum
}
