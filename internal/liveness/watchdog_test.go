package liveness

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// retry is the longest delay before a failed reconcile is retried.
const retry = 30 * time.Second

// watched is a watchdog of a controller with two workers, and its stepped clock.
type watched struct {
	*Watchdog
	clock *clocktesting.FakePassiveClock
}

func newWatched() watched {
	clock := clocktesting.NewFakePassiveClock(noon)
	return watched{NewWatchdog(clock, 2, retry), clock}
}

func (w watched) pass(name string, result reconcile.Result, err error) {
	inner := reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) { return result, err })
	_, _ = w.Watch(inner).Reconcile(context.Background(), named(name))
}

func (w watched) step(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

func named(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "agents", Name: name}}
}

func TestTheWatchdogTellsStuckFromBusy(t *testing.T) {
	inAnHour := reconcile.Result{RequeueAfter: time.Hour}
	for name, test := range map[string]struct {
		happens func(watched)
		want    string // part of the error; empty: none
	}{
		"nothing to do": {happens: func(w watched) { w.step(24 * time.Hour) }},
		"not due yet":   {happens: func(w watched) { w.pass("a", inAnHour, nil); w.step(time.Hour) }},
		"a little late": {happens: func(w watched) { w.pass("a", inAnHour, nil); w.step(time.Hour + Patience) }},
		"a lost timer": {
			happens: func(w watched) { w.pass("a", inAnHour, nil); w.step(time.Hour + Patience + time.Second) },
			want:    "agents/a has been due for 5m1s",
		},
		"one lost timer among many": {
			happens: func(w watched) {
				w.pass("lost", inAnHour, nil)
				for range 100 {
					w.pass("a", reconcile.Result{RequeueAfter: time.Minute}, nil)
					w.step(time.Minute)
				}
				w.pass("a", inAnHour, nil)
			},
			want: "agents/lost",
		},
		"one that came in the end": {happens: func(w watched) { w.pass("a", inAnHour, nil); w.step(3 * time.Hour); w.pass("a", inAnHour, nil) }},
		"a failed pass that is never made again": {
			happens: func(w watched) { w.pass("a", reconcile.Result{}, errors.New("boom")); w.step(time.Hour) }, want: "agents/a",
		},
		"passes that go on failing": {happens: func(w watched) {
			for range 100 {
				w.pass("a", reconcile.Result{}, errors.New("the API server is away"))
				w.step(retry)
			}
		}},
		"an object that is gone": {happens: func(w watched) {
			w.pass("a", inAnHour, nil)
			w.pass("a", reconcile.Result{}, nil)
			w.step(24 * time.Hour)
		}},
		"a pass that hangs": {
			happens: func(w watched) { w.begin(named("a").NamespacedName); w.step(Patience + time.Second) },
			want:    "the pass over agents/a has taken 5m1s",
		},
		"every worker busy for hours, one pass after the other": {happens: func(w watched) {
			w.pass("waits", reconcile.Result{RequeueAfter: time.Second}, nil)
			w.begin(named("a").NamespacedName)
			w.begin(named("b").NamespacedName)
			for range 200 {
				for _, name := range []string{"a", "b"} {
					w.step(time.Minute)
					w.end(named(name).NamespacedName, inAnHour, nil)
					w.begin(named(name).NamespacedName)
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatched()
			test.happens(w)
			err := w.Check(nil)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestAPanicLeavesNoPassUnderWay(t *testing.T) {
	w := newWatched()
	func() {
		defer func() { _ = recover() }()
		_, _ = w.Watch(reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) { panic("boom") })).
			Reconcile(context.Background(), named("a"))
	}()
	if len(w.running) != 0 || w.due[named("a").NamespacedName].IsZero() {
		t.Errorf("got running %v, due %v", w.running, w.due)
	}
}

func TestAClockThatStandsStillIsNoticed(t *testing.T) {
	monotonic, wall := clocktesting.NewFakePassiveClock(noon), clocktesting.NewFakePassiveClock(noon)
	check := ClockMoves(monotonic, wall)
	step := func(d, of time.Duration) error {
		monotonic.SetTime(monotonic.Now().Add(d))
		wall.SetTime(wall.Now().Add(of))
		return check(nil)
	}
	if err := step(20*time.Second, 20*time.Second); err != nil {
		t.Errorf("it moves: got %v", err)
	}
	if err := step(20*time.Second, -time.Hour); err != nil {
		t.Errorf("it has been set back: got %v", err)
	}
	if err := step(time.Minute, 0); err != nil {
		t.Errorf("it has stood still for a minute: got %v", err)
	}
	if err := step(time.Second, 0); err == nil || !strings.Contains(err.Error(), "the clock has stood at") {
		t.Errorf("it has stood still for longer: got %v", err)
	}
	if err := step(time.Second, time.Second); err != nil {
		t.Errorf("it moves again: got %v", err)
	}
}
