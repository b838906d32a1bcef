package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// step is one thing that the demo shows.
type step struct {
	title  string
	phases []phase
}

// phase is a part of a step: something is said and done, and then has to become true.
type phase struct {
	say string
	do  []action
	// until has to be true, all of it at once, within the deadline, and to stay true for steady.
	until  []check
	within time.Duration
	steady time.Duration
	// show is done in the end, for what it prints.
	show []action
}

// action is something that a user would do.
type action struct {
	// line is what the user would type.
	line func() string
	// run does it, and gives what it prints.
	run func(context.Context) (output string, err error)
}

// check is something about the real world that has to become true.
type check struct {
	// what is expected, in words.
	what string
	// met compares the world now with the world before the phase. seen says what is there, for people.
	met func(before, now *snapshot) (seen string, ok bool)
}

// unmetError is a phase whose checks were not true in time.
type unmetError struct {
	within time.Duration
	// unmet are the checks that were not true when they were last not all true.
	unmet []finding
}

// finding is what a check has come to.
type finding struct {
	what, seen string
	ok         bool
}

func (e *unmetError) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "not within %s", e.within)
	for _, f := range e.unmet {
		fmt.Fprintf(&text, "\n  expected: %s\n  there is: %s", f.what, f.seen)
	}
	return text.String()
}

// runner goes through steps.
type runner struct {
	out *console
	// poll is how often the world is looked at.
	poll time.Duration
	// look is the world as it is now.
	look func(context.Context) (*snapshot, error)
	// rows are the lines of the table that have come since the last call.
	rows func() []row
	// dead is the error of a program that has ended and should not have.
	dead func() error
}

// run goes through the steps up to the first that fails. The error says which, and what was expected.
func (r *runner) run(ctx context.Context, steps []step) error {
	for i, s := range steps {
		r.out.title(fmt.Sprintf("Step %d of %d: %s", i+1, len(steps), s.title))
		for _, p := range s.phases {
			if err := r.phase(ctx, p); err != nil {
				return fmt.Errorf("step %d of %d (%s): %w", i+1, len(steps), s.title, err)
			}
		}
	}
	return nil
}

func (r *runner) phase(ctx context.Context, p phase) error {
	before, err := r.look(ctx)
	if err != nil {
		return err
	}
	r.out.say(p.say)
	if err := r.perform(ctx, p.do); err != nil {
		return err
	}
	findings, err := r.wait(ctx, p, before)
	if err != nil {
		return err
	}
	for _, f := range findings {
		r.out.passed(f.what, f.seen)
	}
	r.out.gap()
	return r.perform(ctx, p.show)
}

func (r *runner) perform(ctx context.Context, actions []action) error {
	for _, a := range actions {
		line := a.line()
		r.out.command(line)
		output, err := a.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", strings.TrimPrefix(line, "$ "), err)
		}
		r.out.output(output)
	}
	return nil
}

// wait looks at the world until every check of the phase is true, and has been for as long as it should. Meanwhile it writes
// the table.
func (r *runner) wait(ctx context.Context, p phase, before *snapshot) ([]finding, error) {
	deadline := time.NewTimer(p.within + p.steady)
	defer deadline.Stop()
	tick := time.NewTicker(r.poll)
	defer tick.Stop()
	table := &tableWriter{out: r.out}
	defer table.end()
	var since time.Time   // when all became true; zero: it is not
	var lacking []finding // what was not true, the last time that something was not
	for {
		findings, unmet := r.examine(ctx, p.until, before)
		table.write(r.rows())
		switch {
		case len(unmet) > 0:
			since, lacking = time.Time{}, unmet
		case since.IsZero():
			since = time.Now()
		}
		if !since.IsZero() && time.Since(since) >= p.steady {
			return findings, nil
		}
		if err := r.dead(); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-deadline.C:
			return nil, &unmetError{within: p.within, unmet: lacking}
		case <-tick.C:
		}
	}
}

// examine makes all checks, and picks out those that are not true.
func (r *runner) examine(ctx context.Context, checks []check, before *snapshot) (findings, unmet []finding) {
	now, err := r.look(ctx)
	if err != nil {
		return nil, []finding{{what: "a look at the cluster and the simulator", seen: err.Error()}}
	}
	for _, c := range checks {
		f := finding{what: c.what}
		f.seen, f.ok = c.met(before, now)
		findings = append(findings, f)
		if !f.ok {
			unmet = append(unmet, f)
		}
	}
	return findings, unmet
}

// tableWriter writes rows, with a header above the first and an empty line around them all.
type tableWriter struct {
	out   *console
	begun bool
}

func (t *tableWriter) write(rows []row) {
	for _, r := range rows {
		if !t.begun {
			t.out.gap()
			t.out.tableHeader()
			t.begun = true
		}
		t.out.tableRow(r)
	}
}

func (t *tableWriter) end() { t.out.gap() }
