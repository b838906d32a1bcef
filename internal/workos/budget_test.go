package workos_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// recorder is a transport that records when requests leave, and answers with a token.
type recorder struct {
	clock *clocktesting.FakePassiveClock
	sent  []time.Time
}

func (r *recorder) RoundTrip(*http.Request) (*http.Response, error) {
	r.sent = append(r.sent, r.clock.Now())
	return respond(http.StatusOK, goodBody), nil
}

func recording() (*recorder, *workos.Upstream) {
	r := &recorder{clock: steppedClock()}
	return r, workos.New(workos.Options{Transport: r, Clock: r.clock})
}

// noMinuteAbove checks every window of 60 s, including its ends.
func (r *recorder) noMinuteAbove(t *testing.T, limit int) {
	t.Helper()
	for i := limit; i < len(r.sent); i++ {
		if d := r.sent[i].Sub(r.sent[i-limit]); d <= time.Minute {
			t.Fatalf("%d requests within %v from %v on", limit+1, d, r.sent[i-limit].Sub(epoch))
		}
	}
}

// visits is a work queue: each user with the time of its next visit.
type visits []visit

type visit struct {
	at      time.Time
	request workos.Request
}

func (v visits) Len() int           { return len(v) }
func (v visits) Less(i, j int) bool { return v[i].at.Before(v[j].at) }
func (v visits) Swap(i, j int)      { v[i], v[j] = v[j], v[i] }
func (v *visits) Push(x any)        { *v = append(*v, x.(visit)) }
func (v *visits) Pop() any {
	last := (*v)[len(*v)-1]
	*v = (*v)[:len(*v)-1]
	return last
}

// contend makes many users ask again and again until end. Each user comes back after the time
// that it was told, plus the delay that late returns.
func contend(t *testing.T, c *workos.Client, clock *clocktesting.FakePassiveClock, users int, end time.Time, late func() time.Duration) {
	t.Helper()
	var queue visits
	for n := range users {
		heap.Push(&queue, visit{clock.Now(), user(n)})
	}
	for {
		next := heap.Pop(&queue).(visit)
		if next.at.After(end) {
			return
		}
		if next.at.After(clock.Now()) {
			clock.SetTime(next.at)
		}
		answer := ask(t, c, next.request)
		if answer.Sent == (answer.Outcome == workos.OutcomeHeld) || answer.Sent == (answer.RetryAfter > 0) {
			t.Fatalf("got %+v", answer)
		}
		heap.Push(&queue, visit{clock.Now().Add(answer.RetryAfter + late()), next.request})
	}
}

func onTime() time.Duration { return 0 }

func TestNoMinuteSeesMoreThanTheBudgetAndAllOfItIsUsed(t *testing.T) {
	const minutes = 3
	for _, limit := range []int{1, 2, 3, 59, 60, 119, 120, 241, 1200} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			r, u := recording()
			contend(t, connect(t, u, "a/a", baseURL, testKey, limit), r.clock, limit/20+5, epoch.Add(minutes*time.Minute), onTime)
			r.noMinuteAbove(t, limit)
			if low := int(0.98*float64(limit)*minutes) - 1; len(r.sent) < low {
				t.Errorf("got %d requests in %d minutes, want %d or more", len(r.sent), minutes, low)
			}
		})
	}
}

// A limit as large as WorkOS's own is used up, too, if a few users come back at once.
func TestAllOfALargeBudgetIsUsed(t *testing.T) {
	const limit, minutes = 6000, 2
	r, u := recording()
	contend(t, connect(t, u, "a/a", baseURL, testKey, limit), r.clock, 20, epoch.Add(minutes*time.Minute), onTime)
	r.noMinuteAbove(t, limit)
	if low := limit * 98 / 100 * minutes; len(r.sent) < low {
		t.Errorf("got %d requests in %d minutes, want %d or more", len(r.sent), minutes, low)
	}
}

func TestNoMinuteSeesMoreThanTheBudgetHoweverLateSlotsAreCollected(t *testing.T) {
	const limit = 300
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			stalled := epoch
			r, u := recording()
			// Every user is a little late, and now and then all are busy elsewhere for most of
			// a minute.
			late := func() time.Duration {
				if now := r.clock.Now(); now.After(stalled) && random.IntN(500) == 0 {
					stalled = now.Add(50 * time.Second)
				}
				return max(stalled.Sub(r.clock.Now()), 0) + time.Duration(random.Int64N(int64(3*time.Second)))
			}
			contend(t, connect(t, u, "a/a", baseURL, testKey, limit), r.clock, 400, epoch.Add(5*time.Minute), late)
			r.noMinuteAbove(t, limit)
			if len(r.sent) < 5*limit/2 {
				t.Errorf("got %d requests in 5 minutes", len(r.sent))
			}
		})
	}
}

func TestBacklogOfSlotsDoesNotGoOutOnTopOfTheBudget(t *testing.T) {
	const limit = 120
	r, u := recording()
	client := connect(t, u, "a/a", baseURL, testKey, limit)
	for n := range 2 * limit { // the first leaves, the others get slots over two minutes
		ask(t, client, user(n))
	}
	for range 8 { // all come at once, every minute
		step(r.clock, time.Minute)
		for n := range 2 * limit {
			ask(t, client, user(n))
		}
	}
	r.noMinuteAbove(t, limit)
	if len(r.sent) < 4*limit {
		t.Errorf("got %d requests", len(r.sent))
	}
}

func TestHeldCallersAreServedInTheOrderOfArrival(t *testing.T) {
	const gap = 60500 * time.Millisecond / 60 // 60 a minute: burst 1, 60 per 60.5 s
	r, u := recording()
	client := connect(t, u, "a/a", baseURL, testKey, 60)
	almost := func(answer workos.Answer, want time.Duration) {
		t.Helper()
		if answer.Outcome != workos.OutcomeHeld || answer.Sent || (answer.RetryAfter-want).Abs() > time.Microsecond {
			t.Fatalf("got %s, retry after %v; want held for %v", answer.Outcome, answer.RetryAfter, want)
		}
	}
	expect(t, ask(t, client, user(0)), workos.OutcomeToken, true, 0)
	almost(ask(t, client, user(1)), gap)
	almost(ask(t, client, user(2)), 2*gap)
	almost(ask(t, client, user(3)), 3*gap)

	step(r.clock, gap/2) // too early: the rest of the wait, and no new slot
	almost(ask(t, client, user(3)), 3*gap-gap/2)
	almost(ask(t, client, user(1)), gap-gap/2)

	// All slots have come. A new user is behind the users that have not used theirs.
	step(r.clock, 3*gap)
	expect(t, ask(t, client, user(3)), workos.OutcomeToken, true, 0)
	almost(ask(t, client, user(4)), gap/2)
	expect(t, ask(t, client, user(1)), workos.OutcomeToken, true, 0)
	expect(t, ask(t, client, user(2)), workos.OutcomeToken, true, 0)
	if answer := ask(t, client, user(1)); answer.Outcome != workos.OutcomeHeld {
		t.Errorf("a slot was collected twice: %+v", answer)
	}
	if len(r.sent) != 4 {
		t.Errorf("got %d requests, want 4", len(r.sent))
	}
}

func TestSlotIsForgottenAMinuteAfterItsTime(t *testing.T) {
	for late, want := range map[time.Duration]workos.Outcome{
		time.Minute:               workos.OutcomeToken,
		time.Minute + time.Second: workos.OutcomeHeld,
	} {
		r, u := recording()
		client := connect(t, u, "a/a", baseURL, testKey, 60)
		ask(t, client, user(0))
		slot := r.clock.Now().Add(ask(t, client, user(1)).RetryAfter)
		r.clock.SetTime(slot.Add(late))
		ask(t, client, user(2)) // uses up the bucket
		if answer := ask(t, client, user(1)); answer.Outcome != want {
			t.Errorf("%v after its time: got %s, want %s", late, answer.Outcome, want)
		}
	}
}

func TestWaitForASlotIsToldAsAnHourAtMost(t *testing.T) {
	r, u := recording()
	client := connect(t, u, "a/a", baseURL, testKey, 1)
	for n := range 100 {
		ask(t, client, user(n))
	}
	expect(t, ask(t, client, user(99)), workos.OutcomeHeld, false, time.Hour)
	step(r.clock, 30*time.Minute) // a user does not wait for users that missed their turn
	if answer := ask(t, client, user(99)); answer.Outcome != workos.OutcomeHeld || answer.RetryAfter > 45*time.Minute {
		t.Errorf("got %+v", answer)
	}
}

func TestSmallestLimitOfTheOwnersHoldsForTheKey(t *testing.T) {
	r, u := recording()
	minute := func(want int, clients ...*workos.Client) {
		t.Helper()
		step(r.clock, 10*time.Minute)
		r.sent = nil
		contend(t, clients[0], r.clock, 50, r.clock.Now().Add(time.Minute), onTime)
		r.noMinuteAbove(t, want)
		if got := len(r.sent); got > want || got < want*9/10 {
			t.Errorf("got %d requests, want about %d", got, want)
		}
	}
	a := connect(t, u, "a/a", baseURL, testKey, 600)
	minute(600, a)
	b := connect(t, u, "b/b", "https://api.workos-test.com", testKey, 60)
	minute(60, a)
	minute(60, b)
	connect(t, u, "other/key", baseURL, testKey+"2", 1)
	minute(60, a)
	connect(t, u, "b/b", baseURL, testKey, 120)
	minute(120, a)
	connect(t, u, "b/b", baseURL, testKey+"2", 60)
	minute(600, a)
	u.Disconnect("a/a")
	minute(600, a)
}

func TestLowerLimitHoldsAtOnceForSlotsThatAreGiven(t *testing.T) {
	r, u := recording()
	client := connect(t, u, "a/a", baseURL, testKey, 600)
	for n := range 600 {
		ask(t, client, user(n))
	}
	r.sent = nil
	connect(t, u, "a/a", baseURL, testKey, 60)
	contend(t, client, r.clock, 600, epoch.Add(3*time.Minute), onTime)
	r.noMinuteAbove(t, 60)
}

func TestHigherLimitHoldsAtOnceForWhoIsNew(t *testing.T) {
	r, u := recording()
	connect(t, u, "a/a", baseURL, testKey, 60)
	client := connect(t, u, "a/a", baseURL, testKey, 600)
	step(r.clock, time.Minute)
	for n := range 5 { // half a second of requests leaves at once
		expect(t, ask(t, client, user(n)), workos.OutcomeToken, true, 0)
	}
	answer := ask(t, client, user(5))
	if want := 60500 * time.Millisecond / 596; answer.Outcome != workos.OutcomeHeld || (answer.RetryAfter-want).Abs() > time.Microsecond {
		t.Errorf("got %+v, want held for %v", answer, want)
	}
}

func TestBudgetSurvivesItsOwner(t *testing.T) {
	r, u := recording()
	for range 300 { // an environment that is deleted and created again every second
		client := connect(t, u, "a/a", baseURL, testKey, 10)
		ask(t, client, alice)
		u.Disconnect("a/a")
		step(r.clock, time.Second)
	}
	r.noMinuteAbove(t, 10)
}
