package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// world is a runner for tests. Each call of its look returns one more request.
type world struct {
	runner
	text  strings.Builder
	looks int
	fresh []row
	death error
}

func newWorld() *world {
	w := &world{}
	w.runner = runner{
		out: &console{out: &w.text}, poll: time.Millisecond,
		look: func(context.Context) (*snapshot, error) {
			w.looks++
			return &snapshot{requests: make([]workossim.Request, w.looks)}, nil
		},
		rows: func() []row {
			rows := w.fresh
			w.fresh = nil
			return rows
		},
		dead: func() error { return w.death },
	}
	return w
}

// afterLooks is met after n new requests, and fails again from until new requests on.
func afterLooks(n, until int) check {
	return check{what: "enough looks", met: func(before, now *snapshot) (string, bool) {
		got := len(now.requests) - len(before.requests)
		return "what is there", got >= n && got < until
	}}
}

const forever = 1 << 30

func typed(line string, err error) action {
	return action{
		line: func() string { return "$ " + line },
		run:  func(context.Context) (string, error) { return "did " + line + "\n", err },
	}
}

func TestAStepIsNarratedDoneAwaitedAndShown(t *testing.T) {
	w := newWorld()
	w.fresh = []row{{name: "a"}}
	err := w.run(t.Context(), []step{{title: "first", phases: []phase{{
		say:    "Now.",
		do:     []action{typed("act", nil)},
		until:  []check{afterLooks(3, forever)},
		within: time.Minute,
		show:   []action{typed("show", nil)},
	}}}, {title: "second"}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `
Step 1 of 2: first

  Now.

  $ act
  did act

  NAME          SLUG    READY    REASON               EXPIRES               AGE
  a                                                                         0s

  ✓ enough looks: what is there

  $ show
  did show

Step 2 of 2: second
`
	if got := w.text.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAStepThatDoesNotHappenSaysWhatWasExpectedAndWhatIsThere(t *testing.T) {
	w := newWorld()
	err := w.run(t.Context(), []step{
		{title: "first", phases: []phase{{until: []check{afterLooks(1, forever)}, within: time.Minute}}},
		{title: "second", phases: []phase{{
			until:  []check{afterLooks(1, forever), afterLooks(forever, forever)},
			within: 20 * time.Millisecond,
		}}},
		{title: "third", phases: []phase{{do: []action{typed("must not", nil)}}}},
	})
	const want = "step 2 of 3 (second): not within 20ms\n  expected: enough looks\n  there is: what is there"
	var unmet *unmetError
	if !errors.As(err, &unmet) || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if strings.Contains(w.text.String(), "must not") {
		t.Error("went on after a failed step")
	}
}

func TestWhatShouldStaySoHasToStaySo(t *testing.T) {
	w := newWorld()
	err := w.run(t.Context(), []step{{phases: []phase{{
		// The check is false from the second look on.
		until: []check{afterLooks(1, 2)}, within: 10 * time.Millisecond, steady: 500 * time.Millisecond,
	}}}})
	var unmet *unmetError
	if !errors.As(err, &unmet) || len(unmet.unmet) != 1 {
		t.Errorf("got %v", err)
	}
}

func TestACommandThatFailsEndsTheRunAndIsNamed(t *testing.T) {
	w := newWorld()
	broken := errors.New("broken")
	err := w.run(t.Context(), []step{{title: "first", phases: []phase{{do: []action{typed("act", broken)}}}}})
	if !errors.Is(err, broken) || err.Error() != "step 1 of 1 (first): act: broken" {
		t.Errorf("got %v", err)
	}
}

func TestNobodyWaitsForAProgramThatHasEnded(t *testing.T) {
	w := newWorld()
	w.death = errors.New("etcd has ended")
	err := w.run(t.Context(), []step{{phases: []phase{{until: []check{afterLooks(forever, forever)}, within: time.Hour}}}})
	if !errors.Is(err, w.death) {
		t.Errorf("got %v", err)
	}
}

func TestCtrlCEndsTheWait(t *testing.T) {
	w := newWorld()
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errStopped)
	err := w.run(ctx, []step{{phases: []phase{{until: []check{afterLooks(forever, forever)}, within: time.Hour}}}})
	if !errors.Is(err, errStopped) {
		t.Errorf("got %v", err)
	}
}

func TestALookThatFailsIsMadeAgain(t *testing.T) {
	w := newWorld()
	look := w.look
	w.look = func(ctx context.Context) (*snapshot, error) {
		s, err := look(ctx)
		if w.looks == 2 {
			err = errors.New("connection refused")
		}
		return s, err
	}
	if err := w.run(t.Context(), []step{{phases: []phase{{
		until: []check{afterLooks(1, forever)}, within: time.Minute,
	}}}}); err != nil {
		t.Error(err)
	}
}
