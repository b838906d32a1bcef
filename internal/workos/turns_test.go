package workos_test

import (
	"container/heap"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// applicant is a call with its turn.
type applicant struct {
	name string
	turn workos.Turn
}

// order makes all applicants ask at once, and again whenever they are told to, until each has
// had a turn. It returns their names in that order. The applicants of later[n] join once n have
// been served.
func order(t *testing.T, limit int, all []applicant, later map[int][]applicant) []string {
	t.Helper()
	r, u := recording()
	client := connect(t, u, "a/a", baseURL, testKey, limit)
	ask(t, client, alice) // uses up the bucket
	next := map[string]time.Time{}
	var served []string
	for waiting := all; len(waiting) > 0; {
		var left []applicant
		for _, a := range waiting {
			if next[a.name].After(r.clock.Now()) {
				left = append(left, a)
				continue
			}
			answer, err := client.Token(t.Context(), workos.Request{Slug: "github", UserID: a.name}, a.turn)
			if err != nil {
				t.Fatal(err)
			}
			if answer.Sent {
				served = append(served, a.name)
				left = append(left, later[len(served)]...)
				continue
			}
			next[a.name] = r.clock.Now().Add(answer.RetryAfter)
			left = append(left, a)
		}
		waiting = left
		step(r.clock, 100*time.Millisecond)
	}
	return served
}

func named(turn workos.Turn, names ...string) (all []applicant) {
	for _, name := range names {
		all = append(all, applicant{name, turn})
	}
	return all
}

func until(d time.Duration) workos.Turn { return workos.Turn{Deadline: epoch.Add(d), Share: "x"} }

func TestWhoseTurnItIs(t *testing.T) {
	a, b := workos.Turn{Share: "a"}, workos.Turn{Share: "b"}
	for name, test := range map[string]struct {
		all   []applicant
		later map[int][]applicant
		want  string
	}{
		"the nearest deadline first": {
			all:  slices.Concat(named(until(time.Hour), "late"), named(until(10*time.Minute), "soon"), named(until(20*time.Minute), "next")),
			want: "soon next late",
		},
		"creations delay no renewal, looks delay nobody": {
			all:  slices.Concat(named(workos.Turn{Idle: true}, "poll"), named(a, "new"), named(until(time.Hour), "renewal")),
			want: "renewal new poll",
		},
		"a deadline that has passed is none": {
			all:  slices.Concat(named(a, "new"), named(until(-time.Minute), "expired"), named(until(time.Hour), "renewal")),
			want: "renewal new expired",
		},
		"who comes later and is more urgent overtakes": {
			all:   named(a, "a1", "a2", "a3", "a4"),
			later: map[int][]applicant{1: named(until(time.Hour), "renewal")},
			want:  "a1 renewal a2 a3 a4",
		},
		"a share with few does not wait for one with many": {
			all:  slices.Concat(named(a, "a1", "a2", "a3", "a4", "a5"), named(b, "b1", "b2")),
			want: "a1 b1 a2 b2 a3 a4 a5",
		},
		"a share that comes later gets its turn at once, and nothing for the time before": {
			all:   named(a, "a1", "a2", "a3", "a4", "a5", "a6"),
			later: map[int][]applicant{2: named(b, "b1", "b2", "b3")},
			want:  "a1 a2 b1 a3 b2 a4 b3 a5 a6",
		},
		"a token that has expired goes before those that have time, in a quarter of the turns of its share": {
			all: slices.Concat(named(proven("a"), "a1", "a2", "a3"), named(until(7*time.Second), "r1"), named(until(8*time.Second), "r2"),
				named(until(12*time.Second), "r3"), named(until(time.Hour), "r4")),
			want: "a1 r1 r2 a2 r3 a3 r4",
		},
		"within a share in the order of arrival": {
			all:  named(a, "a3", "a1", "a2"),
			want: "a3 a1 a2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(order(t, 60, test.all, test.later), " "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// If a token expires while its renewal waits, it is too late for this token. Other tokens can
// still be saved, so their renewals go first.
func TestWhoseDeadlinePassesStandsBack(t *testing.T) {
	r, u := recording()
	client := connect(t, u, "a/a", baseURL, testKey, 1)
	ask(t, client, alice)
	held := func(name string, turn workos.Turn) time.Duration {
		t.Helper()
		answer, err := client.Token(t.Context(), workos.Request{Slug: "github", UserID: name}, turn)
		if err != nil || answer.Sent {
			t.Fatalf("got %+v, %v", answer, err)
		}
		return answer.RetryAfter
	}
	first, second := held("first", until(30*time.Second)), held("second", until(time.Hour))
	if second <= first {
		t.Fatalf("%v, then %v", first, second)
	}
	step(r.clock, 31*time.Second)
	if first, second = held("first", until(30*time.Second)), held("second", until(time.Hour)); first <= second {
		t.Errorf("the lost one waits for %v, the other for %v", first, second)
	}
}

// A waiting caller is not told to come back again and again without success, no matter how many
// urgent calls overtake it.
func TestOvertakingIsNoHotLoop(t *testing.T) {
	r, u := recording()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	asked, next := 0, r.clock.Now()
	for n := range 60000 { // ten minutes, in which urgent calls use up the budget
		ask := func(name string, turn workos.Turn) workos.Answer {
			answer, err := client.Token(t.Context(), workos.Request{Slug: "github", UserID: name}, turn)
			if err != nil {
				t.Fatal(err)
			}
			return answer
		}
		ask(fmt.Sprint("urgent", n), until(time.Hour))
		if !r.clock.Now().Before(next) {
			answer := ask("patient", workos.Turn{})
			if !answer.Sent {
				asked++
			}
			next = r.clock.Now().Add(answer.RetryAfter)
		}
		step(r.clock, 10*time.Millisecond)
	}
	if asked > 400 {
		t.Errorf("asked %d times in ten minutes", asked)
	}
}

// A 429 halves the pace, and another 429 halves it again. The pace grows back within a minute.
func TestPaceSlowsDownAndRecovers(t *testing.T) {
	const limit = 600
	s, u := scriptedUpstream()
	client := connect(t, u, "a/a", baseURL, testKey, limit)
	user := 0
	in := func(d time.Duration) (sent int) {
		for end := s.clock.Now().Add(d); s.clock.Now().Before(end); step(s.clock, 20*time.Millisecond) {
			before := s.requests
			answer, err := client.Token(t.Context(), workos.Request{Slug: "github", UserID: fmt.Sprint(user)}, workos.Turn{})
			if err != nil {
				t.Fatal(err)
			}
			if answer.Sent {
				user++
			}
			sent += s.requests - before
		}
		return sent
	}
	in(2 * time.Minute)
	full := in(10 * time.Second)
	s.next = always(429, "", "Retry-After", "1")
	for sent := 0; sent == 0; {
		sent = in(20 * time.Millisecond)
	}
	s.next = always(http.StatusOK, goodBody)
	if trouble, troubled := client.Trouble(); !troubled || trouble.Outcome != workos.OutcomeRateLimited {
		t.Errorf("got %+v, %v", trouble, troubled)
	}
	step(s.clock, time.Second)
	if half := in(10 * time.Second); half < full*45/100 || half > full*70/100 {
		t.Errorf("%d requests in the ten seconds after, %d before", half, full)
	}
	in(50 * time.Second)
	if again := in(10 * time.Second); again < full*95/100 {
		t.Errorf("%d requests in ten seconds in the end, %d before", again, full)
	}
	if trouble, troubled := client.Trouble(); troubled {
		t.Errorf("got %+v", trouble)
	}
}

// If there are more renewals than the budget can serve in time, as many tokens are saved as the
// budget allows. Renewals that come too late must not delay the others.
func TestAnOverloadCostsNoMoreTokensThanItMust(t *testing.T) {
	for name, test := range map[string]struct {
		limit, renewals, minutes int
	}{
		"twice as many":    {60, 600, 5},
		"a fifth too many": {60, 720, 10},
		"just enough":      {60, 600, 10},
		"many":             {3000, 6200, 2},
	} {
		t.Run(name, func(t *testing.T) {
			r, u := recording()
			client := connect(t, u, "a/a", baseURL, testKey, test.limit)
			var queue visits
			deadlines := map[string]time.Time{}
			for n := range test.renewals {
				request := user(n)
				deadlines[request.UserID] = epoch.Add(time.Duration(n+1) * time.Duration(test.minutes) * time.Minute / time.Duration(test.renewals))
				heap.Push(&queue, visit{epoch, request})
			}
			saved, passes := 0, 0
			for len(queue) > 0 {
				next := heap.Pop(&queue).(visit)
				if next.at.After(epoch.Add(time.Duration(test.minutes) * time.Minute)) {
					break
				}
				if next.at.After(r.clock.Now()) {
					r.clock.SetTime(next.at)
				}
				deadline := deadlines[next.request.UserID]
				answer, err := client.Token(t.Context(), next.request, workos.Turn{Deadline: deadline, Share: "x"})
				if err != nil {
					t.Fatal(err)
				}
				passes++
				switch {
				case !answer.Sent:
					heap.Push(&queue, visit{r.clock.Now().Add(answer.RetryAfter), next.request})
				case r.clock.Now().Before(deadline):
					saved++
				}
			}
			could := min(test.renewals, test.limit*test.minutes)
			t.Logf("%d of %d saved, in %d passes", saved, could, passes)
			if saved < could*95/100 {
				t.Errorf("%d tokens are saved, where %d could be", saved, could)
			}
			if passes > 40*test.renewals {
				t.Errorf("%d passes for %d renewals", passes, test.renewals)
			}
		})
	}
}
