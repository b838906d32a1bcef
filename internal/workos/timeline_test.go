package workos

import (
	"container/heap"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/renewal"
)

// timeline simulates a controller with many PipesTokens of one key, and WorkOS, on a clock that
// jumps from one event to the next. It uses keyState as Client.ask does, but without
// goroutines, so that every run gives the same result.
type timeline struct {
	now     time.Time
	begin   time.Time
	key     *keyState
	events  events
	count   int
	free    int // workers
	queue   []*object
	objects []*object
	// answer returns the outcome of a request, and after how long WorkOS answers it.
	answer func(o *object, now time.Time) (Outcome, time.Duration)
	sent   []time.Time
	passes int
}

// object is a PipesToken.
type object struct {
	call    call
	share   string
	expires time.Time // of the token in the Secret
	synced  time.Time // when the last token was written
	// upstream is the expiry of the token that WorkOS has.
	upstream time.Time
	failures int
	// due counts the planned events. Only the last planned event is valid.
	due    int
	queued bool
	busy   bool
	held   uint64 // epoch of the answer that held the object back
	again  bool   // the object was called back during a reconcile
}

type event struct {
	at     time.Time
	number int
	do     func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].number < e[j].number
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

const (
	simWorkers  = 10
	simLifetime = 3 * time.Minute
	simLead     = time.Minute
	simLatency  = 100 * time.Millisecond
	simPatience = time.Second
	simTimeout  = 15 * time.Second
)

func newTimeline(requestsPerMinute int) *timeline {
	begin := time.Date(2026, time.November, 23, 13, 0, 0, 0, time.UTC)
	key := newKeyState(requestsPerMinute, &atomic.Uint64{})
	key.join("pipes-system/default", "https://api.workos.com", requestsPerMinute, begin)
	return &timeline{now: begin, begin: begin, key: key, free: simWorkers, answer: healthy}
}

func healthy(*object, time.Time) (Outcome, time.Duration) { return OutcomeToken, simLatency }

func (t *timeline) at(at time.Time, do func()) {
	t.count++
	heap.Push(&t.events, event{at, t.count, do})
}

// create adds a PipesToken to a namespace at an instant.
func (t *timeline) create(share, user string, at time.Time) *object {
	o := &object{share: share, call: call{base: "https://api.workos.com", request: Request{Slug: "github", UserID: user}}}
	t.objects = append(t.objects, o)
	t.plan(o, at)
	return o
}

// hold gives an object a token. WorkOS replaces it once no more than simLead is left.
func (t *timeline) hold(o *object, expires time.Time) {
	o.expires, o.upstream = expires, expires
	t.plan(o, t.renewal(o))
}

func (t *timeline) renewal(o *object) time.Time {
	return renewal.Time(renewal.Token{Obtained: o.expires.Add(-simLifetime), Expires: o.expires, Seed: o.call.request.UserID}, simLead)
}

func (t *timeline) plan(o *object, at time.Time) {
	o.due++
	planned := o.due
	t.at(at, func() {
		if planned == o.due {
			t.enqueue(o)
		}
	})
}

func (t *timeline) enqueue(o *object) {
	switch {
	case o.busy:
		o.again = true
	case !o.queued:
		o.queued = true
		t.queue = append(t.queue, o)
		t.work()
	}
}

// run executes all events up to end.
func (t *timeline) run(end time.Time) {
	for len(t.events) > 0 && !t.events[0].at.After(end) {
		next := heap.Pop(&t.events).(event)
		t.now = next.at
		next.do()
	}
	t.now = end
}

func (t *timeline) work() {
	for t.free > 0 && len(t.queue) > 0 {
		o := t.queue[0]
		t.queue = t.queue[1:]
		o.queued, o.busy = false, true
		t.free--
		t.pass(o)
	}
}

func (t *timeline) pass(o *object) {
	t.passes++
	o.held = 0
	o.due++
	turn := Turn{Share: o.share, Proven: !o.expires.IsZero()}
	if o.expires.After(t.now) {
		turn.Deadline = o.expires
	} else {
		turn.Expired = turn.Proven
	}
	if answer, here := t.key.enter(o.call, turn, t.now); here {
		t.done(o, answer)
		return
	}
	if refusal, refused := t.key.admit(o.call, turn, t.now); refused {
		t.key.stopWaiting(o.call)
		t.done(o, refusal)
		return
	}
	t.sent = append(t.sent, t.now)
	outcome, latency := t.answer(o, t.now)
	waits := true
	t.at(t.now.Add(latency), func() {
		t.landed(o, outcome, waits)
		waits = false
	})
	t.at(t.now.Add(t.key.patience(o.call, simPatience, t.now)), func() {
		if waits && t.key.stopWaiting(o.call) {
			waits = false
			t.done(o, Answer{Outcome: OutcomeHeld, RetryAfter: simTimeout, Epoch: t.key.epoch})
		}
	})
}

func (t *timeline) landed(o *object, outcome Outcome, waits bool) {
	answer, releases := t.key.settle(o.call, Answer{Outcome: outcome, Sent: true}, t.now)
	parked := t.key.park(o.call, answer, t.now)
	t.key.ended(o.call, t.now)
	for _, release := range append(releases, parked...) {
		t.recover(release.request)
	}
	if waits {
		t.key.stopWaiting(o.call)
		t.done(o, answer)
	}
}

// recover calls back the objects that were held back, the nearest expiry first.
func (t *timeline) recover(of Request) {
	var waiting []*object
	for _, o := range t.objects {
		if o.held != 0 && (of.UserID == "" || of == o.call.request) {
			waiting = append(waiting, o)
		}
	}
	slices.SortStableFunc(waiting, func(a, b *object) int { return a.expires.Compare(b.expires) })
	for _, o := range waiting {
		o.due++
		t.enqueue(o)
	}
}

func (t *timeline) done(o *object, answer Answer) {
	t.free++
	o.busy = false
	switch {
	case answer.Outcome == OutcomeToken:
		if !t.now.Before(o.upstream.Add(-simLead)) {
			o.upstream = t.now.Add(simLifetime).Truncate(time.Second)
		}
		o.expires, o.failures, o.synced = o.upstream, 0, t.now
		t.plan(o, t.renewal(o))
	case answer.Down || !answer.Sent && answer.Epoch != 0:
		if o.held = answer.Epoch; o.held != t.key.currentEpoch() {
			answer.RetryAfter = 0
		}
		t.plan(o, t.now.Add(answer.RetryAfter))
	case answer.Outcome == OutcomeHeld:
		t.plan(o, t.now.Add(answer.RetryAfter))
	default:
		o.failures++
		t.plan(o, renewal.Retry(t.now, o.expires, o.failures, answer.RetryAfter, o.call.request.UserID))
	}
	if o.again {
		o.again = false
		t.enqueue(o)
	}
	t.work()
}

// between counts requests that left in [from, to).
func (t *timeline) between(from, to time.Time) (count int) {
	for _, at := range t.sent {
		if !at.Before(from) && at.Before(to) {
			count++
		}
	}
	return count
}

// fullest returns the largest number of requests that left within any 60 s.
func (t *timeline) fullest() (most int) {
	first := 0
	for i := range t.sent {
		for t.sent[i].Sub(t.sent[first]) > time.Minute {
			first++
		}
		most = max(most, i+1-first)
	}
	return most
}

// population adds n PipesTokens in this number of namespaces. Their renewals are spread over time.
func (t *timeline) population(n, namespaces int) {
	for i := range n {
		o := &object{share: fmt.Sprint("ns-", i%namespaces), call: call{base: "https://api.workos.com", request: Request{Slug: "github", UserID: fmt.Sprint("user-", i)}}}
		t.objects = append(t.objects, o)
		t.hold(o, t.begin.Add(time.Minute+time.Duration(i)*2*time.Minute/time.Duration(n)))
	}
}

// fault is a way in which calls fail.
type fault struct {
	outcome Outcome
	latency time.Duration
}

var faults = map[string]fault{
	"fast failures": {OutcomeUnavailable, simLatency},
	"unreadable":    {OutcomeUnreadable, simLatency},
	"hangs":         {OutcomeUnavailable, simTimeout},
}

// outage makes every call fail for a minute, beginning at from. It returns how long after the
// end of the outage the last token became valid again.
func (t *timeline) outage(f fault, from time.Time) (last time.Duration) {
	to := from.Add(time.Minute)
	t.answer = func(_ *object, now time.Time) (Outcome, time.Duration) {
		if now.Before(from) || !now.Before(to) {
			return healthy(nil, now)
		}
		return f.outcome, f.latency
	}
	for t.run(to); t.now.Before(to.Add(time.Minute)); t.run(t.now.Add(100 * time.Millisecond)) {
		for _, o := range t.objects {
			if !o.expires.After(t.now) {
				last = t.now.Sub(to)
			}
		}
	}
	return last
}

func TestAllTokensAreValidSoonAfterAnOutage(t *testing.T) {
	const limit, most = 3000, 60
	for name, fault := range faults {
		for _, size := range [][2]int{{1, 1}, {3, 1}, {10, 2}, {200, 1}, {1000, 1}, {1000, 30}, {1000, 1000}} {
			t.Run(fmt.Sprintf("%s, %d in %d namespaces", name, size[0], size[1]), func(t *testing.T) {
				within := 10 * time.Second
				if size[0] < 10 && fault.latency == simTimeout {
					// The only possible call is still under way when the outage ends.
					within += 10 * time.Second
				}
				var worst time.Duration
				worstCalls, worstPasses := 0, 0
				for start := 10 * time.Minute; start < 12*time.Minute; start += 15 * time.Second {
					sim := newTimeline(limit)
					sim.population(size[0], size[1])
					from := sim.begin.Add(start)
					sim.run(from)
					passes := sim.passes
					worst = max(worst, sim.outage(fault, from))
					worstCalls = max(worstCalls, sim.between(from, from.Add(time.Minute)))
					worstPasses = max(worstPasses, sim.passes-passes)
					if most := sim.fullest(); most > limit {
						t.Errorf("%d requests in a minute", most)
					}
					if size[0] == 1000 {
						break
					}
				}
				if worst > within || worstCalls > most || worstPasses > 20*size[0]+1000 {
					t.Errorf("all are valid after %v; %d calls in the outage; %d passes", worst, worstCalls, worstPasses)
				}
				t.Logf("all are valid after %v; %d calls in the outage; %d passes", worst, worstCalls, worstPasses)
			})
		}
	}
}

// A caller that an open circuit holds back is called back with the answer that closes the circuit.
func TestNobodyWaitsLongerThanTheProbe(t *testing.T) {
	for name, fault := range faults {
		sim := newTimeline(3000)
		sim.population(1000, 30)
		from := sim.begin.Add(10 * time.Minute)
		to := from.Add(time.Minute)
		sim.answer = func(_ *object, now time.Time) (Outcome, time.Duration) {
			if now.Before(from) || !now.Before(to) {
				return healthy(nil, now)
			}
			return fault.outcome, fault.latency
		}
		sim.run(to)
		circuit := sim.key.circuits[sim.objects[0].call.integration()]
		for circuit.isOpen() && sim.now.Before(to.Add(5*time.Second)) {
			sim.run(sim.now.Add(time.Millisecond))
		}
		if waited := sim.now.Sub(to); waited > urgentProbe+simLatency+maxNewcomers*newcomerGap {
			t.Errorf("%s: the circuit closed %v after the outage", name, waited)
		}
		for _, o := range sim.objects {
			if o.held != 0 && !o.queued && sim.key.underway[o.call] == nil {
				t.Errorf("%s: %s is not called back", name, o.call.request.UserID)
			}
		}
	}
}

// neighbours simulates failing users of a namespace, and returns how long a healthy user waits
// that comes after a while.
func neighbours(f fault, failing int, proven bool, share string, after time.Duration) time.Duration {
	sim := newTimeline(3000)
	bad := map[*object]bool{}
	sim.answer = func(o *object, now time.Time) (Outcome, time.Duration) {
		if bad[o] {
			return f.outcome, f.latency
		}
		return healthy(o, now)
	}
	for i := range failing {
		o := sim.create("same", fmt.Sprint("bad-", i), sim.begin)
		if proven {
			o.expires = sim.begin.Add(-time.Second)
		}
		bad[o] = true
	}
	come := sim.begin.Add(after)
	good := sim.create(share, "good", come)
	sim.run(come.Add(time.Minute))
	if good.synced.IsZero() {
		return time.Hour
	}
	return good.synced.Sub(come)
}

func TestHealthyUserIsNotHeldBackByThoseThatFail(t *testing.T) {
	for name, fault := range faults {
		for _, failing := range []int{5, 20, 50, 100} {
			for _, share := range []string{"same", "other"} {
				for _, proven := range []bool{false, true} {
					t.Run(fmt.Sprintf("%d %s, %s namespace, proven %v", failing, name, share, proven), func(t *testing.T) {
						for _, after := range []int{0, 1, 3, 10, 20, 60, 180} {
							if failing > 50 && after < 3 {
								// Because of the budget, failing users would come after the
								// healthy user.
								continue
							}
							if took := neighbours(fault, failing, proven, share, time.Duration(after)*time.Second); took > 5*time.Second {
								t.Errorf("who comes after %d s waits for %v", after, took)
							}
						}
					})
				}
			}
		}
	}
}

// A hundred thousand callers that are held back cause no hot loop, whether they share a
// namespace or each has its own.
func TestThoseHeldBackAreNoHotLoop(t *testing.T) {
	const many = 100_000
	for _, namespaces := range []int{1, many} {
		sim := newTimeline(3000)
		sim.answer = func(*object, time.Time) (Outcome, time.Duration) { return OutcomeUnavailable, simLatency }
		for i := range many {
			o := sim.create(fmt.Sprint("ns-", i%namespaces), fmt.Sprint("user-", i), sim.begin.Add(time.Duration(i)*time.Millisecond))
			o.expires = sim.begin.Add(time.Hour)
		}
		sim.run(sim.begin.Add(3 * time.Minute))
		before := sim.passes
		sim.run(sim.begin.Add(4 * time.Minute))
		if rate := (sim.passes - before) / 60; rate > 1000 {
			t.Errorf("%d namespaces: %d passes a second", namespaces, rate)
		}
	}
}
