package workos_test

import (
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

// order lets all apply at once, and then again whenever they are told to, until each has had a turn; it returns them in that order.
// What comes later applies after as many have been served.
func order(t *testing.T, limit int, all []applicant, later map[int][]applicant) []string {
	t.Helper()
	r, u := recording()
	client := connect(t, u, "a/a", baseURL, testKey, limit)
	ask(t, client, alice) // takes what the bucket holds
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

// A token that expires while its renewal waits is lost already: others can still be saved.
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

// Nobody who waits is told to come back again and again for nothing, however many urgent calls overtake.
func TestOvertakingIsNoHotLoop(t *testing.T) {
	r, u := recording()
	client := connect(t, u, "a/a", baseURL, testKey, 6000)
	asked, next := 0, r.clock.Now()
	for n := range 60000 { // ten minutes, in which urgent calls use the budget up
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

func TestWorkOSIsDownWhenFiveConnectionsInARowFail(t *testing.T) {
	s, u := scriptedUpstream()
	client, elsewhere := connect(t, u, "a/a", baseURL, testKey, 6000), connect(t, u, "b/b", staging, testKey, 6000)
	s.next = always(500, "")
	for range 20 { // one connection that never works is no outage
		expect(t, ask(t, client, alice), workos.OutcomeUnavailable, true, 0)
		step(s.clock, time.Second)
	}
	for n := range 3 {
		expect(t, ask(t, client, user(n)), workos.OutcomeUnavailable, true, 0)
	}
	s.next = always(404, "") // an answer: WorkOS is there
	ask(t, client, user(3))
	s.next = always(502, "")
	for n := range 5 {
		if _, troubled := client.Trouble(); troubled {
			t.Fatal("four are too few")
		}
		expect(t, ask(t, client, user(n)), workos.OutcomeUnavailable, true, 0)
		step(s.clock, 100*time.Millisecond)
	}
	if trouble, troubled := client.Trouble(); !troubled || trouble.Outcome != workos.OutcomeUnavailable {
		t.Errorf("got %+v, %v", trouble, troubled)
	}
	before := s.requests
	var waits []time.Duration
	for range 7 { // ten thousand come back whenever they are told to: one of them finds out
		var wait time.Duration
		for n := range 10000 {
			answer := ask(t, client, user(n))
			if answer.Outcome != workos.OutcomeUnavailable {
				t.Fatalf("got %+v", answer)
			}
			wait = answer.RetryAfter
		}
		waits = append(waits, wait.Round(time.Second))
		step(s.clock, wait)
	}
	if calls := s.requests - before; calls != 6 {
		t.Errorf("%d calls to find out six times", calls)
	}
	if want := []time.Duration{2e9, 4e9, 8e9, 16e9, 30e9, 30e9, 30e9}; !slices.Equal(waits, want) {
		t.Errorf("waited for %v, want %v", waits, want)
	}
	s.next = always(http.StatusOK, goodBody)
	expect(t, ask(t, elsewhere, alice), workos.OutcomeToken, true, 0)
	expect(t, ask(t, client, alice), workos.OutcomeToken, true, 0)
	expect(t, ask(t, client, user(1)), workos.OutcomeToken, true, 0)
	if trouble, troubled := client.Trouble(); troubled {
		t.Errorf("got %+v", trouble)
	}
}

// After a 429 the pace is halved, and again by the next one; it grows back within a minute.
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
