package eventfeed_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/eventfeed"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

const interval = 15 * time.Second

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// world is a Feed with one environment and a stepped clock.
type world struct {
	*testing.T
	feed        eventfeed.Feed
	environment *v1alpha1.PipesEnvironment
	now         time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{T: t, now: noon, environment: &v1alpha1.PipesEnvironment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "default", UID: "uid"},
		Spec:       v1alpha1.PipesEnvironmentSpec{BaseURL: "https://api.workos.com"},
	}}
}

func (w *world) query() workos.EventsQuery { return w.feed.Query(w.environment, w.now) }

// receive answers the query and returns the wait. It checks whether that is news.
func (w *world) receive(answer workos.EventsAnswer, news bool) time.Duration {
	w.Helper()
	wait, changed := w.feed.Received(w.environment, answer, interval, w.now)
	if changed != news {
		w.Errorf("%+v changes something: %v", answer, changed)
	}
	return wait
}

// expect checks why the events are not followed. Empty: they are followed.
func (w *world) expect(reason string) {
	w.Helper()
	problem, known := w.feed.Problem(w.environment)
	if followed, _ := w.feed.Followed(w.environment); !known || problem.Reason != reason || followed != (reason == "") {
		w.Errorf("got %+v, known %v, followed %v; want %q", problem, known, followed, reason)
	}
}

// events is an answer whose last event has that ID; empty: it has none.
func events(last string) workos.EventsAnswer {
	return workos.EventsAnswer{Answer: workos.Answer{Outcome: workos.OutcomeEvents, Sent: true}, Last: last}
}

// refused is an answer without events.
func refused(outcome workos.Outcome) workos.EventsAnswer {
	return workos.EventsAnswer{Answer: workos.Answer{Outcome: outcome, Sent: true, Message: "no", RequestID: "req"}}
}

func misunderstood() workos.EventsAnswer {
	answer := refused(workos.OutcomeRejected)
	answer.Misunderstood = true
	return answer
}

func TestTheCursorFollowsTheList(t *testing.T) {
	w := newWorld(t)
	if got, want := w.query(), (workos.EventsQuery{Since: noon.Add(-time.Hour)}); got != want {
		t.Errorf("the first query is %+v, want %+v", got, want)
	}
	if wait := w.receive(events(""), true); wait != interval {
		t.Errorf("the next request comes after %s", wait)
	}
	w.expect("")

	w.now = noon.Add(interval)
	if got, want := w.query(), (workos.EventsQuery{Since: noon.Add(-time.Minute)}); got != want {
		t.Errorf("without an event the query is %+v, want %+v", got, want)
	}
	more := events("event_1")
	more.More = true
	if wait := w.receive(more, false); wait != time.Millisecond {
		t.Errorf("the next page comes after %s", wait)
	}
	if got, want := w.query(), (workos.EventsQuery{After: "event_1"}); got != want {
		t.Errorf("the query for the next page is %+v, want %+v", got, want)
	}
	w.receive(events(""), false)
	if got := w.query(); got.After != "event_1" {
		t.Errorf("an answer without events moves the cursor: %+v", got)
	}
}

// WorkOS returns at most the events of 30 days for one request, and forgets them after 90 days.
func TestTheCursorDoesNotGrowOld(t *testing.T) {
	w := newWorld(t)
	w.receive(events("event_1"), true)
	for day := range 100 {
		w.now = noon.Add(time.Duration(day) * 24 * time.Hour)
		query := w.query()
		if query.After != "" && w.now.Sub(noon) > 7*24*time.Hour || query.After == "" && w.now.Sub(query.Since) > 25*time.Hour {
			t.Errorf("after %d days the query is %+v", day, query)
		}
		w.receive(events(""), false)
	}
}

func TestAnEnvironmentThatDoesNotKnowTheNewerTypes(t *testing.T) {
	w := newWorld(t)
	if wait := w.receive(misunderstood(), false); wait != time.Millisecond || !w.query().Basic {
		t.Fatalf("after the refusal: wait %s, query %+v", wait, w.query())
	}
	w.receive(events("event_1"), true)
	w.expect("")
	if !w.query().Basic {
		t.Error("the newer types are asked for again")
	}
}

func TestACursorThatIsTooOldBeginsAgain(t *testing.T) {
	w := newWorld(t)
	w.receive(events("event_1"), true)
	w.now = noon.Add(interval)
	if wait := w.receive(misunderstood(), false); wait != time.Millisecond {
		t.Errorf("the next request comes after %s", wait)
	}
	if got, want := w.query(), (workos.EventsQuery{Since: w.now.Add(-time.Hour)}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	w.receive(events("event_7"), false)
	w.expect("")
}

// WorkOS that refuses every form of the request is asked every ten minutes, not at once.
func TestAWorkOSThatUnderstandsNothing(t *testing.T) {
	w := newWorld(t)
	w.receive(misunderstood(), false)
	if wait := w.receive(misunderstood(), true); wait != 10*time.Minute {
		t.Errorf("the next request comes after %s", wait)
	}
	w.expect(v1alpha1.EventsRefusedReason)
}

func TestAKeyWithoutTheRightToReadEvents(t *testing.T) {
	w := newWorld(t)
	for i, outcome := range []workos.Outcome{workos.OutcomeForbidden, workos.OutcomeNotFound, workos.OutcomeRejected} {
		if wait := w.receive(refused(outcome), i == 0); wait != 10*time.Minute {
			t.Errorf("%s: the next request comes after %s", outcome, wait)
		}
		w.expect(v1alpha1.EventsRefusedReason)
	}
	if _, since := w.feed.Followed(w.environment); !since.IsZero() {
		t.Errorf("events that were never followed are lost since %s", since)
	}
	w.receive(events(""), true)
	w.expect("")
}

// A short outage does not make a hundred thousand slow polls frequent.
func TestEventsAreLostAfterAnOutage(t *testing.T) {
	w := newWorld(t)
	w.receive(events("event_1"), true)
	for _, outcome := range []workos.Outcome{workos.OutcomeUnavailable, workos.OutcomeUnreadable, workos.OutcomeRateLimited, workos.OutcomeKeyRejected} {
		w.now = w.now.Add(30 * time.Second)
		w.receive(refused(outcome), false)
		w.expect("")
	}
	w.now = w.now.Add(30 * time.Second)
	w.receive(refused(workos.OutcomeUnavailable), true)
	w.expect(v1alpha1.EventsUnavailableReason)
	lost := w.now
	w.now = w.now.Add(time.Hour)
	w.receive(refused(workos.OutcomeUnavailable), false)
	if _, since := w.feed.Followed(w.environment); !since.Equal(lost) {
		t.Errorf("lost since %s, want %s", since, lost)
	}
	w.receive(events(""), true)
	w.expect("")
}

func TestARequestThatWaitsForItsTurnIsNoNews(t *testing.T) {
	w := newWorld(t)
	held := workos.EventsAnswer{Answer: workos.Answer{Outcome: workos.OutcomeHeld, RetryAfter: 3 * time.Second}}
	if wait := w.receive(held, false); wait != 3*time.Second {
		t.Errorf("got %s", wait)
	}
	if _, known := w.feed.Problem(w.environment); known {
		t.Error("a request that was not sent says something about the events")
	}
}

func TestAnEnvironmentThatIsNotReady(t *testing.T) {
	w := newWorld(t)
	if w.feed.Unready(w.environment, w.now) {
		t.Error("it is lost at once")
	}
	if !w.feed.Unready(w.environment, w.now.Add(2*time.Minute)) {
		t.Error("it is not lost after two minutes")
	}
	w.expect(v1alpha1.EventsUnavailableReason)
}

// A process that has just started believes the status, so that its start causes no polls.
func TestTheStatusCountsUntilTheFirstAnswer(t *testing.T) {
	w := newWorld(t)
	if followed, _ := w.feed.Followed(w.environment); followed {
		t.Error("followed without a status")
	}
	w.environment.Status.Conditions = []metav1.Condition{{Type: v1alpha1.EventsFollowedCondition, Status: metav1.ConditionTrue}}
	if followed, _ := w.feed.Followed(w.environment); !followed {
		t.Error("not followed although the status says so")
	}
	w.receive(refused(workos.OutcomeForbidden), true)
	w.expect(v1alpha1.EventsRefusedReason)

	w.environment.Spec.Events = &v1alpha1.Events{Disabled: true}
	if followed, _ := w.feed.Followed(w.environment); followed || eventfeed.Enabled(w.environment) {
		t.Error("followed although events are disabled")
	}
}

func TestAnotherListOfEventsBeginsAgain(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.PipesEnvironment){
		"created again":    func(e *v1alpha1.PipesEnvironment) { e.UID = "another" },
		"another base URL": func(e *v1alpha1.PipesEnvironment) { e.Spec.BaseURL = "https://api.workos-test.com" },
		"another key":      func(e *v1alpha1.PipesEnvironment) { e.Spec.APIKeySecretRef.Name = "another" },
	} {
		w := newWorld(t)
		w.receive(events("event_1"), true)
		change(w.environment)
		if _, known := w.feed.Problem(w.environment); known {
			t.Errorf("%s: the state of the former list counts", name)
		}
		if query := w.query(); query.After != "" {
			t.Errorf("%s: got %+v", name, query)
		}
	}
	w := newWorld(t)
	w.receive(events("event_1"), true)
	w.feed.Forget(types.NamespacedName{Namespace: "home", Name: "default"})
	if query := w.query(); query.After != "" {
		t.Errorf("forgotten: got %+v", query)
	}
}

func TestIntervalLeavesTheBudgetToTokens(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		spec      *v1alpha1.Events
		perMinute int
		want      time.Duration
	}{
		{nil, 3000, 15 * time.Second},
		{&v1alpha1.Events{}, 3000, 15 * time.Second},
		{&v1alpha1.Events{PollInterval: &metav1.Duration{Duration: 5 * time.Second}}, 3000, 5 * time.Second},
		{&v1alpha1.Events{PollInterval: &metav1.Duration{Duration: 5 * time.Second}}, 60, 5 * time.Second},
		{&v1alpha1.Events{PollInterval: &metav1.Duration{Duration: 5 * time.Second}}, 12, 20 * time.Second},
		{nil, 1, 4 * time.Minute},
		{nil, 0, 4 * time.Minute},
	} {
		w.environment.Spec.Events = test.spec
		if got := eventfeed.Interval(w.environment, test.perMinute); got != test.want {
			t.Errorf("%+v with %d a minute: got %s, want %s", test.spec, test.perMinute, got, test.want)
		}
	}
}
