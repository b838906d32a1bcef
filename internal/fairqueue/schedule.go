package fairqueue

import (
	"math"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// never is later than every timer.
const never = time.Duration(math.MaxInt64)

// object is one entry of the queue. Each object with a timer has an entry, so an entry is
// small. The fields that only ready objects need are in place.
type object struct {
	request reconcile.Request
	// timer is when the object becomes ready by itself, with timerPriority. The value never
	// means that it has no timer.
	timer         time.Duration
	timerPriority int
	// quietUntil is when edits count again. An earlier edit is held until then, with
	// heldPriority.
	quietUntil   time.Duration
	heldPriority int
	// place is set while the object is ready, and nil otherwise.
	place   *place
	waiting int32 // position in schedule.waiting
	held    bool
	running bool
}

// wakes returns when the timer or the held edit of the object is due.
func (o *object) wakes() time.Duration {
	if o.held {
		return min(o.timer, o.quietUntil)
	}
	return o.timer
}

// schedule decides when objects are ready, and which object is next. It has no clock and no
// lock. Times are durations since the queue was made, and never go back.
type schedule struct {
	// workers is the largest number of objects that run at once. Zero means that no namespace
	// has a limit.
	workers int
	// floor is the shortest time between two reconciles of one object that only edits caused.
	floor time.Duration

	objects    map[reconcile.Request]*object
	waiting    index[*object]
	namespaces map[string]*namespace
	// byNeed and byTurn contain each namespace with a ready object.
	byNeed, byTurn index[*namespace]

	picks uint64
	turn  uint64 // of the namespace that was picked or added last
	order uint64 // of the object that became ready last
	// running counts the workers that namespaces hold, without extra withdrawals.
	running int
	// depth counts the ready objects. added counts the objects that have become ready so far.
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

// add handles an event. An urgent event makes the object ready at once, an edit as soon as
// floor allows.
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

// addAt sets the timer of the object, unless the object has an earlier timer.
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

// advance makes objects ready that are due at now.
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

// next returns when advance has something to do.
func (s *schedule) next() time.Duration {
	if o, ok := s.waiting.first(); ok {
		return o.wakes()
	}
	return never
}

// done ends the work that pick began. An object that became ready meanwhile can be picked from
// now on.
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

// wait updates the position of an object among the objects that wait for their time.
func (s *schedule) wait(o *object) {
	if o.wakes() == never {
		s.waiting.remove(o)
	} else {
		s.waiting.put(o)
	}
}

// ready makes the object ready, or raises its priority. A running object cannot be picked until
// it is done.
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

// enter makes the object of a place available for a pick.
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

// rank updates the position of a namespace after its places or its workers have changed.
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

// len returns how many objects can be picked.
func (s *schedule) len() int {
	sum := 0
	for _, count := range s.depth {
		sum += count
	}
	return sum
}
