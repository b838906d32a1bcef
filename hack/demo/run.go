package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// step is a numbered part of the demo.
type step struct {
	title  string
	phases []phase
}

// phase is a part of a step: the demo says something, does something, and waits for the result.
type phase struct {
	say string
	do  []action
	// until lists checks that must all be true at the same time before within has passed (zero:
	// soon), and must stay true for steady.
	until          []check
	within, steady time.Duration
	// show runs at the end, for its output.
	show []action
}

const (
	// soon is for what takes about a second. It is long because the machine may be busy.
	soon = time.Minute
	// quiet is how long a state must stay unchanged.
	quiet = 2 * time.Second
	// noticed is the poll interval of environment.yaml, plus time for a busy machine. Without
	// events, the next poll would come only after 30 seconds.
	noticed = 15 * time.Second
)

// check is a condition that must become true.
type check struct {
	what string
	// met compares the state now with the state before the phase. seen describes the state now.
	met func(before, now *state) (seen string, ok bool)
}

// runner runs the steps.
type runner struct {
	look func(context.Context) (*state, error)
	// dead returns an error if the operator has ended.
	dead func() error
	poll time.Duration
}

// run runs the steps until one fails.
func (r *runner) run(ctx context.Context, steps []step) error {
	for i, s := range steps {
		name := fmt.Sprintf("Step %d of %d: %s", i+1, len(steps), s.title)
		fmt.Printf("\n%s\n", name)
		for _, p := range s.phases {
			if err := r.phase(ctx, p); err != nil {
				return fmt.Errorf("%s: %w", name, err)
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
	printBlock(p.say)
	if err := perform(ctx, p.do); err != nil {
		return err
	}
	passed, err := r.wait(ctx, p, before)
	if err != nil {
		return err
	}
	printBlock(passed...)
	return perform(ctx, p.show)
}

func perform(ctx context.Context, actions []action) error {
	for _, a := range actions {
		printBlock("$ " + a.line)
		output, err := a.run(ctx)
		printLines(output)
		if err != nil {
			return err
		}
	}
	return nil
}

// wait waits until all checks of the phase are true and have stayed true for p.steady.
func (r *runner) wait(ctx context.Context, p phase, before *state) (passed []string, err error) {
	began, within := time.Now(), cmp.Or(p.within, soon)
	since, failed := time.Time{}, error(nil) // since when all are true; the last failure
	for {
		var unmet error
		passed, unmet = r.examine(ctx, p.until, before)
		switch {
		case unmet != nil:
			since, failed = time.Time{}, unmet
		case since.IsZero():
			since = time.Now()
		}
		if !since.IsZero() && time.Since(since) >= p.steady {
			return append(passed, fmt.Sprintf("   within %.1f s", since.Sub(began).Seconds())), nil
		}
		if err := r.dead(); err != nil {
			return nil, err
		}
		if time.Since(began) > within+p.steady {
			return nil, fmt.Errorf("not within %s\n%w", within, failed)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(r.poll):
		}
	}
}

// examine runs all checks once. The error has a line for each check that fails.
func (r *runner) examine(ctx context.Context, checks []check, before *state) (passed []string, err error) {
	now, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range checks {
		seen, ok := c.met(before, now)
		if !ok {
			err = errors.Join(err, fmt.Errorf("not so: %s: %s", c.what, cmp.Or(seen, "no")))
		}
		passed = append(passed, strings.TrimSuffix("ok "+c.what+": "+seen, ": "))
	}
	return passed, err
}

// printBlock prints texts, indented, and an empty line before them.
func printBlock(texts ...string) {
	fmt.Println()
	for _, text := range texts {
		printLines(text)
	}
}

func printLines(text string) {
	for line := range strings.Lines(text) {
		fmt.Println(strings.TrimRight("  "+line, " \n"))
	}
}
