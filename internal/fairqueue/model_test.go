package fairqueue

import (
	"cmp"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// plain is the queue as its documentation describes it, without indexes: each operation goes
// through all objects. The model test compares the schedule with plain.
type plain struct {
	workers    int
	floor      time.Duration
	objects    map[reconcile.Request]*plainObject
	namespaces map[string]*plainNamespace
	picks      int
	turn       int
	order      int
}

type plainObject struct {
	timer, timerPriority int // timer 0: no timer
	held                 bool
	heldPriority         int
	quietUntil           time.Duration
	ready, edited        bool
	running, extra       bool
	priority, order      int
}

type plainNamespace struct{ turn, picks int }

func (m *plain) object(r reconcile.Request) *plainObject {
	if m.objects[r] == nil {
		m.objects[r] = &plainObject{}
	}
	return m.objects[r]
}

func (m *plain) event(r reconcile.Request, priority int, now time.Duration) {
	o := m.object(r)
	if priority <= Ordinary && !o.ready && now < o.quietUntil {
		if !o.held || priority > o.heldPriority {
			o.held, o.heldPriority = true, priority
		}
		return
	}
	m.makeReady(r, priority, priority <= Ordinary)
}

func (m *plain) timer(r reconcile.Request, priority int, at time.Duration) {
	o := m.object(r)
	switch {
	case o.timer == 0 || int(at) < o.timer:
		o.timer, o.timerPriority = int(at), priority
	case int(at) == o.timer:
		o.timerPriority = max(o.timerPriority, priority)
	}
}

func (m *plain) makeReady(r reconcile.Request, priority int, edited bool) {
	o := m.objects[r]
	if o.ready {
		o.priority, o.edited = max(o.priority, priority), o.edited && edited
	} else {
		m.order++
		o.ready, o.priority, o.edited, o.order = true, priority, edited, m.order
	}
	m.arrive()
}

// arrive keeps the turns of namespaces with a ready or a running object, and forgets the
// others.
func (m *plain) arrive() {
	present := map[string]bool{}
	for r, o := range m.objects {
		present[r.Namespace] = present[r.Namespace] || o.ready || o.running
	}
	for name := range m.namespaces {
		if !present[name] {
			delete(m.namespaces, name)
		}
	}
	for name, there := range present {
		if there && m.namespaces[name] == nil {
			m.turn++
			m.namespaces[name] = &plainNamespace{turn: m.turn}
		}
	}
}

// advance makes objects ready that are due, in the order of their times.
func (m *plain) advance(now time.Duration) {
	type due struct {
		at       time.Duration
		r        reconcile.Request
		priority int
		edited   bool
	}
	var all []due
	for r, o := range m.objects {
		if o.held && o.quietUntil <= now {
			all = append(all, due{o.quietUntil, r, o.heldPriority, true})
			o.held = false
		}
		if o.timer != 0 && time.Duration(o.timer) <= now {
			all = append(all, due{time.Duration(o.timer), r, o.timerPriority, false})
			o.timer = 0
		}
	}
	slices.SortFunc(all, func(a, b due) int { return cmp.Compare(a.at, b.at) })
	for _, d := range all {
		m.makeReady(d.r, d.priority, d.edited)
	}
}

func (m *plain) holds(namespace string) (running int) {
	for r, o := range m.objects {
		if o.running && !o.extra && (namespace == "" || r.Namespace == namespace) {
			running++
		}
	}
	return running
}

func (m *plain) hasExtra(namespace string) bool {
	for r, o := range m.objects {
		if o.extra && r.Namespace == namespace {
			return true
		}
	}
	return false
}

// waiting returns the objects of a namespace that may be picked, the most urgent first.
func (m *plain) waiting(namespace string) (all []reconcile.Request) {
	for r, o := range m.objects {
		if o.ready && !o.running && r.Namespace == namespace {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b reconcile.Request) int {
		return cmp.Or(cmp.Compare(m.objects[b].priority, m.objects[a].priority), cmp.Compare(m.objects[a].order, m.objects[b].order))
	})
	return all
}

func (m *plain) pick(now time.Duration) (picked reconcile.Request, priority int, ok bool) {
	free := max(m.workers-m.holds(""), 1)
	type candidate struct {
		name   string
		head   *plainObject
		within bool
		turn   int
	}
	var all []candidate
	for name, n := range m.namespaces {
		waiting := m.waiting(name)
		if len(waiting) == 0 {
			continue
		}
		c := candidate{name, m.objects[waiting[0]], m.holds(name) < free, n.turn}
		if c.within || m.workers >= 6 && c.head.priority == Withdrawal && !m.hasExtra(name) {
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return picked, 0, false
	}
	chosen := slices.MinFunc(all, func(a, b candidate) int { return cmp.Compare(a.turn, b.turn) })
	urgent := slices.MinFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.head.priority, a.head.priority), cmp.Compare(a.head.order, b.head.order))
	})
	if m.picks%2 == 0 && urgent.head.priority > Ordinary {
		chosen = urgent
	}
	n, waiting := m.namespaces[chosen.name], m.waiting(chosen.name)
	picked = waiting[0]
	if n.picks%4 == 3 && chosen.within {
		picked = slices.MinFunc(waiting, func(a, b reconcile.Request) int { return cmp.Compare(m.objects[a].order, m.objects[b].order) })
	}
	m.picks++
	m.turn++
	n.turn = m.turn
	n.picks++
	o := m.objects[picked]
	priority = o.priority
	if o.edited {
		o.quietUntil = now + m.floor
	}
	o.running, o.extra, o.ready, o.held, o.timer = true, !chosen.within, false, false, 0
	return picked, priority, true
}

func (m *plain) done(r reconcile.Request) {
	o := m.objects[r]
	if o == nil || !o.running {
		return
	}
	o.running, o.extra = false, false
	if !o.ready && !o.held && o.timer == 0 {
		delete(m.objects, r)
	}
	m.arrive()
}

func (m *plain) len() (ready int) {
	for _, o := range m.objects {
		if o.ready && !o.running {
			ready++
		}
	}
	return ready
}

func TestTheScheduleDoesAsThePlainQueueDoes(t *testing.T) {
	for range 20 { // each time a hundred random sequences
		rapid.Check(t, comparison)
	}
}

func FuzzTheScheduleDoesAsThePlainQueueDoes(f *testing.F) { f.Fuzz(rapid.MakeFuzz(comparison)) }

// comparison does the same operations on a schedule and on a plain queue, and compares the
// results.
func comparison(t *rapid.T) {
	workers := rapid.IntRange(1, 7).Draw(t, "workers")
	// The order of two objects that are due at the same time is not defined, so all times must
	// differ. Times of steps are 0 modulo 4, times of floors 1, and times of timers 2.
	const grain, floor, timer = 4, time.Second + 1, 2
	s := newSchedule(workers, floor)
	m := &plain{workers: workers, floor: floor, objects: map[reconcile.Request]*plainObject{}, namespaces: map[string]*plainNamespace{}}
	now, taken := time.Duration(0), map[time.Duration]bool{}
	var running []reconcile.Request
	request := func() reconcile.Request {
		return named(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "namespace"), strconv.Itoa(rapid.IntRange(1, 4).Draw(t, "name")))
	}
	priority := func() int {
		return rapid.SampledFrom([]int{-100, 0, 0, 1, 5, Renewal(time.Unix(1e9, 0)), Renewal(time.Unix(2e9, 0)), Withdrawal}).Draw(t, "priority")
	}
	t.Repeat(map[string]func(*rapid.T){
		"event": func(*rapid.T) {
			r, p := request(), priority()
			s.add(r, p, now)
			m.event(r, p, now)
		},
		"timer": func(t *rapid.T) {
			r, p := request(), priority()
			at := now + timer + grain*time.Duration(rapid.Int64Range(0, int64(3*time.Second)/grain).Draw(t, "after"))
			for taken[at] {
				at += grain
			}
			taken[at] = true
			s.addAt(r, p, at)
			m.timer(r, p, at)
		},
		"step": func(t *rapid.T) {
			now += grain * time.Duration(rapid.Int64Range(1, int64(2*time.Second)/grain).Draw(t, "step"))
			s.advance(now)
			m.advance(now)
		},
		"pick": func(t *rapid.T) {
			now += grain
			s.advance(now)
			m.advance(now)
			if len(running) >= workers {
				t.Skip("no worker is free")
			}
			want, urgency, ok := m.pick(now)
			place, got := s.pick(now)
			if got != ok || ok && (place.object.request != want || place.priority != urgency) {
				t.Fatalf("picked %+v, %v, want %v with %d, %v", place, got, want, urgency, ok)
			}
			if ok {
				running = append(running, want)
			}
		},
		"done": func(t *rapid.T) {
			if len(running) == 0 {
				t.Skip("nothing is running")
			}
			at := rapid.IntRange(0, len(running)-1).Draw(t, "which")
			r := running[at]
			running = slices.Delete(running, at, at+1)
			s.done(r, now)
			m.done(r)
		},
		"": func(t *rapid.T) { expectConsistent(t, s, m) },
	})
}

// expectConsistent compares the two states, and checks the indexes.
func expectConsistent(t *rapid.T, s *schedule, m *plain) {
	if s.len() != m.len() || len(s.objects) != len(m.objects) || s.running != m.holds("") {
		t.Fatalf("ready %d, known %d, running %d; want %d, %d, %d", s.len(), len(s.objects), s.running, m.len(), len(m.objects), m.holds(""))
	}
	if len(s.namespaces) != len(m.namespaces) {
		t.Fatalf("%d namespaces, want %d: those with something ready or running", len(s.namespaces), len(m.namespaces))
	}
	waiting := 0
	for _, o := range s.objects {
		if o.timer != never || o.held {
			waiting++
		}
	}
	if waiting != s.waiting.len() {
		t.Fatalf("%d objects are filed by their time, want %d", s.waiting.len(), waiting)
	}
	for name, n := range s.namespaces {
		if listed := n.inTurn != 0; listed != (n.byNeed.len() > 0) || listed != (n.inNeed != 0) || n.byNeed.len() != n.byAge.len() {
			t.Fatalf("namespace %s is filed in one index and not in another: %+v", name, n)
		}
	}
}
