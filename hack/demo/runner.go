package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// step is a numbered part of the demo, with a title.
type step struct {
	title  string
	phases []phase
}

// phase is a part of a step: the demo says something, does something, and waits for the result.
type phase struct {
	say string
	do  []action
	// until lists checks that must all be true at the same time before within has passed, and
	// must stay true for steady.
	until  []check
	within time.Duration
	steady time.Duration
	// show runs at the end, for its output.
	show []action
}

// action is a command of the user.
type action struct {
	// line returns the command as the user would type it.
	line func() string
	// run runs the command and returns its output.
	run func(context.Context) (output string, err error)
}

// check is a condition of the cluster or the simulator that must become true.
type check struct {
	// what describes the expected condition.
	what string
	// met compares the state now with the state before the phase. seen describes the state now
	// for the user.
	met func(before, now *snapshot) (seen string, ok bool)
}

// unmetError is the error of a phase whose checks were not true in time.
type unmetError struct {
	within time.Duration
	// unmet are the failed checks of the last attempt at which a check failed.
	unmet []finding
}

// finding is the result of a check.
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

// runner runs the steps.
type runner struct {
	out *console
	// poll is the interval between two attempts at the checks.
	poll time.Duration
	// look returns a snapshot of the current state.
	look func(context.Context) (*snapshot, error)
	// rows returns the rows of the table since the last call.
	rows func() []row
	// dead returns the error of a program that ended unexpectedly.
	dead func() error
}

// run runs the steps until one fails. The error names the step and the expected condition.
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

// wait polls until all checks of the phase are true and have stayed true for p.steady. It writes
// the table at the same time.
func (r *runner) wait(ctx context.Context, p phase, before *snapshot) ([]finding, error) {
	deadline := time.NewTimer(p.within + p.steady)
	defer deadline.Stop()
	tick := time.NewTicker(r.poll)
	defer tick.Stop()
	table := &tableWriter{out: r.out}
	defer table.end()
	var since time.Time   // when all checks became true; zero: they are not true now
	var lacking []finding // the failed checks of the last attempt with a failure
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

// examine runs all checks. It returns all findings, and separately the findings of failed
// checks.
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

// tableWriter writes rows, with a header above the first row and an empty line before and after
// the table.
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
