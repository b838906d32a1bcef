package fairqueue

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// busyWorkers simulates workers and their schedule. Time jumps from the end of one reconcile to
// the end of the next; the test does not wait.
type busyWorkers struct {
	schedule *schedule
	workers  int
	now      time.Duration
	// takes is how long the reconcile of an object takes.
	takes map[string]time.Duration
	// again is called at the end of each reconcile. A namespace that is never idle uses it to
	// add work.
	again   func(reconcile.Request)
	running []job
	// last is when the last object of each namespace was done.
	last map[string]time.Duration
}

type job struct {
	request reconcile.Request
	ends    time.Duration
}

const (
	tenant   = "tenant"
	attacker = "attacker"
	quick    = 20 * time.Millisecond
	hanging  = 15 * time.Second
)

func newWorkers(workers int) *busyWorkers {
	return &busyWorkers{
		schedule: newSchedule(workers, time.Second), workers: workers, last: map[string]time.Duration{},
		takes: map[string]time.Duration{}, again: func(reconcile.Request) {},
	}
}

// runUntil works until count objects of the namespace are done, and returns the time at which
// the last of them was done. It returns never if no object can be picked, or after a quarter of
// an hour.
func (b *busyWorkers) runUntil(namespace string, count int) time.Duration {
	for done := 0; done < count; {
		for len(b.running) < b.workers {
			place, ok := b.schedule.pick(b.now)
			if !ok {
				break
			}
			request := place.object.request
			takes, ok := b.takes[request.Namespace]
			if !ok {
				takes = quick
			}
			b.running = append(b.running, job{request, b.now + takes})
		}
		if len(b.running) == 0 || b.now > 15*time.Minute {
			return never
		}
		slices.SortStableFunc(b.running, func(x, y job) int { return int(x.ends - y.ends) })
		ended := b.running[0]
		b.running = b.running[1:]
		b.now = max(b.now, ended.ends)
		b.schedule.advance(b.now)
		b.again(ended.request)
		b.schedule.done(ended.request, b.now)
		if ended.request.Namespace == namespace {
			done++
			b.last[namespace] = b.now
		}
	}
	return b.last[namespace]
}

// load is the kind of object that a namespace adds: a priority, and a name for the test.
type load struct {
	name     string
	priority int
}

var loads = []load{
	{"first tokens", Ordinary},
	{"renewals", Renewal(time.Unix(2e9, 0))},
	{"withdrawals", Withdrawal},
}

// attacks are the loads of another namespace at the same time. All of its objects are ready
// again as soon as they have been reconciled.
var attacks = []struct {
	name       string
	priorities []int
	takes      time.Duration
}{
	{"edits without end", []int{Ordinary}, quick},
	{"tokens that are always due", []int{Renewal(time.Unix(1e9, 0))}, quick},
	{"withdrawals without end", []int{Withdrawal}, quick},
	{"all of these at once", []int{Ordinary, Renewal(time.Unix(1e9, 0)), Withdrawal}, quick},
	{"calls that hang", []int{Ordinary, Renewal(time.Unix(1e9, 0))}, hanging},
	{"calls that hang, and withdrawals", []int{Ordinary, Renewal(time.Unix(1e9, 0)), Withdrawal}, hanging},
}

// The guarantee: whatever other namespaces do, a namespace needs at most twice the time that it
// needs undisturbed, or two seconds, whichever is more.
func TestNoNamespaceDelaysAnotherBeyondTwice(t *testing.T) {
	for _, workers := range []int{4, 6, 10, 20} {
		for _, wanted := range loads {
			for _, count := range []int{1, 30, 3000} {
				undisturbed := tenantAlone(workers, wanted, count)
				for _, attack := range attacks {
					t.Run(fmt.Sprintf("%d workers, %d %s, %s", workers, count, wanted.name, attack.name), func(t *testing.T) {
						b := newWorkers(workers)
						b.takes[attacker] = attack.takes
						// The attacker has no floor, and chooses urgent priorities itself. This
						// is more than any tenant can do.
						b.again = func(r reconcile.Request) {
							if r.Namespace == attacker {
								b.schedule.addAt(r, attack.priorities[len(r.Name)%len(attack.priorities)], b.now)
							}
						}
						for i := range 2000 {
							name := fmt.Sprintf("%0*d", 4+i%3, i)
							b.schedule.add(named(attacker, name), attack.priorities[len(name)%len(attack.priorities)], 0)
						}
						// After this, the attacker holds all the workers that it can get.
						b.runUntil(attacker, workers)
						began := b.now
						for i := range count {
							b.schedule.add(named(tenant, fmt.Sprint(i)), wanted.priority, b.now)
						}
						took := b.runUntil(tenant, count) - began
						if limit := max(2*undisturbed+2*quick, 2*time.Second); took > limit {
							t.Errorf("took %v, undisturbed %v", took, undisturbed)
						}
					})
				}
			}
		}
	}
}

func tenantAlone(workers int, wanted load, count int) time.Duration {
	b := newWorkers(workers)
	for i := range count {
		b.schedule.add(named(tenant, fmt.Sprint(i)), wanted.priority, 0)
	}
	return b.runUntil(tenant, count)
}

// A withdrawal does not wait for calls that hang in its own namespace.
func TestAWithdrawalHasAWorkerWhileItsOwnNamespaceHangs(t *testing.T) {
	s := newSchedule(20, time.Second)
	for i := range 100 {
		s.add(named(tenant, fmt.Sprint(i)), Ordinary, 0)
	}
	for range 10 {
		s.pick(0)
	}
	if place, ok := s.pick(0); ok {
		t.Fatalf("picked %v: ten of twenty workers are held", place.object.request)
	}
	for _, name := range []string{"first", "second"} {
		s.add(named(tenant, name), Withdrawal, 0)
	}
	for _, name := range []string{"first", "second"} {
		place, ok := s.pick(0)
		if !ok || place.object.request != named(tenant, name) {
			t.Fatalf("picked %+v, %v; want withdrawal %s", place, ok, name)
		}
		if place, ok := s.pick(0); ok {
			t.Fatalf("picked %v beside a withdrawal: there is one at a time", place.object.request)
		}
		s.done(named(tenant, name), 0)
	}
}

func TestCallsThatHangLeaveWorkersToEachFurtherNamespace(t *testing.T) {
	s := newSchedule(20, time.Second)
	held := map[string]int{}
	for _, namespace := range []string{"a", "b", "c", "d"} {
		for i := range 100 {
			s.add(named(namespace, fmt.Sprint(i)), Ordinary, 0)
		}
		for place, ok := s.pick(0); ok; place, ok = s.pick(0) {
			held[place.object.request.Namespace]++
		}
	}
	if held["a"] != 10 || held["b"] != 5 || held["c"] < 2 || held["d"] < 1 || s.running >= 20 {
		t.Errorf("workers are held so: %v", held)
	}
}

func TestBusyIsHowManyWorkersOneNamespaceGets(t *testing.T) {
	for workers := 1; workers <= 30; workers++ {
		s := newSchedule(workers, time.Second)
		for i := range 100 {
			s.add(named(tenant, fmt.Sprint(i)), Ordinary, 0)
		}
		for _, ok := s.pick(0); ok; _, ok = s.pick(0) { //nolint:revive // picking is all there is to do
		}
		if s.running != Busy(workers) {
			t.Errorf("of %d workers one namespace gets %d, want %d", workers, s.running, Busy(workers))
		}
	}
}

// order returns the ready objects in the order in which one worker picks them.
func order(s *schedule) (picked []reconcile.Request) {
	for place, ok := s.pick(0); ok; place, ok = s.pick(0) {
		picked = append(picked, place.object.request)
		s.done(place.object.request, 0)
	}
	return picked
}

func TestWithdrawalsComeFirstAndThenTheNearestDeadline(t *testing.T) {
	s := newSchedule(1, time.Second)
	now := time.Unix(1e9, 0)
	// Each object has its own namespace, so that the only other rule that applies is that of
	// every second pick.
	s.add(named("a", "edit"), Ordinary, 0)
	s.add(named("b", "late"), Renewal(now.Add(time.Hour)), 0)
	s.add(named("c", "soon"), Renewal(now.Add(time.Minute)), 0)
	s.add(named("d", "withdrawn"), Withdrawal, 0)
	s.add(named("e", "sooner"), Renewal(now.Add(time.Second)), 0)
	want := []reconcile.Request{
		named("d", "withdrawn"), named("a", "edit"), named("e", "sooner"), named("b", "late"), named("c", "soon"),
	}
	if got := order(s); !slices.Equal(got, want) {
		t.Errorf("picked in the order %v, want %v", got, want)
	}
}

func TestNamespacesTakeTurns(t *testing.T) {
	s := newSchedule(1, time.Second)
	for i := range 100 {
		s.add(named("a", fmt.Sprint(i)), Ordinary, 0)
	}
	s.add(named("b", "1"), Ordinary, 0)
	s.add(named("b", "2"), Ordinary, 0)
	s.add(named("c", "1"), Ordinary, 0)
	got := order(s)[:6]
	want := []reconcile.Request{named("a", "0"), named("b", "1"), named("c", "1"), named("a", "1"), named("b", "2"), named("a", "2")}
	if !slices.Equal(got, want) {
		t.Errorf("picked in the order %v, want %v", got, want)
	}
}

// An earlier queue had this bug: a timer with a high priority raised the priority of every edit
// of its object, for as long as the timer was pending.
func TestAnEditDoesNotInheritThePriorityOfATimer(t *testing.T) {
	s := newSchedule(1, time.Second)
	soon := Renewal(time.Unix(1e9, 0))
	s.addAt(named("a", "renewed"), soon, time.Hour)
	s.add(named("a", "renewed"), Ordinary, 0)
	if place, _ := s.pick(0); place == nil || place.priority != Ordinary {
		t.Fatalf("picked %+v, want priority %d", place, Ordinary)
	}
	s.done(named("a", "renewed"), 0)

	s.addAt(named("a", "renewed"), soon, time.Hour)
	s.add(named("a", "renewed"), Ordinary, time.Hour)
	s.advance(time.Hour)
	if place, _ := s.pick(time.Hour); place == nil || place.priority != soon {
		t.Errorf("picked %+v, want what its timer has made urgent", place)
	}
}

func TestEditsOfOneObjectCountOncePerSecond(t *testing.T) {
	s := newSchedule(1, time.Second)
	edited := named("a", "edited")
	reconciles := 0
	for now := time.Duration(0); now < 10*time.Second; now += 50 * time.Millisecond {
		s.advance(now)
		s.add(edited, Ordinary, now)
		if _, ok := s.pick(now); ok {
			reconciles++
			s.addAt(edited, Ordinary, now+time.Hour)
			s.done(edited, now)
		}
	}
	if reconciles != 10 {
		t.Errorf("20 edits a second cost %d reconciles in ten seconds, want 10", reconciles)
	}
}

func TestAHeldEditIsNotLost(t *testing.T) {
	s := newSchedule(1, time.Second)
	edited := named("a", "edited")
	s.add(edited, Ordinary, 0)
	s.pick(0)
	s.add(edited, Ordinary, 1)
	s.done(edited, 2)
	if _, ok := s.pick(3); ok {
		t.Fatal("the second edit counted at once")
	}
	if s.next() != time.Second {
		t.Fatalf("the second edit counts at %v, want a second after the first", s.next())
	}
	s.advance(time.Second)
	if _, ok := s.pick(time.Second); !ok {
		t.Error("the second edit was lost")
	}
}

// A cause that a tenant cannot create at will does not wait. An edit that comes after it does
// not wait either.
func TestOnlyEditsWaitForTheFloor(t *testing.T) {
	edited := named("a", "edited")
	for name, cause := range map[string]func(s *schedule){
		"a withdrawal": func(s *schedule) { s.add(edited, Withdrawal, 1) },
		"a timer":      func(s *schedule) { s.addAt(edited, Ordinary, 1); s.advance(1) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSchedule(1, time.Second)
			s.add(edited, Ordinary, 0)
			s.pick(0)
			s.done(edited, 0)
			s.add(edited, Ordinary, 1)
			cause(s)
			if _, ok := s.pick(1); !ok {
				t.Fatal("waits for the floor of edits")
			}
			s.done(edited, 1)
		})
	}
}

// Without a share for the object that has waited longest, a namespace whose renewals never end
// would never reach its own new objects.
func TestRenewalsDoNotStarveTheEditsOfTheirNamespace(t *testing.T) {
	b := newWorkers(4)
	b.again = func(r reconcile.Request) { b.schedule.addAt(r, Renewal(time.Unix(1e9, 0)), b.now) }
	for i := range 1000 {
		b.schedule.add(named(attacker, fmt.Sprint(i)), Renewal(time.Unix(1e9, 0)), 0)
	}
	b.runUntil(attacker, 2000)
	b.again = func(reconcile.Request) {}
	b.schedule.add(named(attacker, "new"), Ordinary, b.now)
	picks := 0
	for place, ok := b.schedule.pick(b.now); ok; place, ok = b.schedule.pick(b.now) {
		if place.object.request.Name == "new" {
			return
		}
		picks++
		b.schedule.addAt(place.object.request, Renewal(time.Unix(1e9, 0)), b.now)
		b.schedule.advance(b.now)
		b.schedule.done(place.object.request, b.now)
		if picks > 5000 {
			break
		}
	}
	t.Errorf("a new object was not picked in %d picks", picks)
}
