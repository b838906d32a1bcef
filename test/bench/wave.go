package main

import (
	"context"
	"fmt"
	"time"
)

// wave is the result of renewals during about a lifetime, with an action in the middle.
type wave struct {
	before, after mark
	rotations
	used memory
}

// throughWave waits until 10% of the tokens have been renewed once more, runs act, and waits
// until all tokens have been renewed. The action runs while most renewals are due, because
// tokens that were obtained together are renewed together.
func (s *stage) throughWave(ctx context.Context, act func(context.Context) error) (w wave, err error) {
	rotated, limit := s.watch.least()+1, 2*s.Lifetime.Duration+s.patience()
	s.sayf("waiting for renewals to be due")
	if err := s.await(ctx, "a tenth have rotated", limit, func(context.Context) (string, error) {
		return s.watch.allHaveHeld(max(1, s.Objects/10), rotated)
	}); err != nil {
		return wave{}, err
	}
	if err := resetPeak(s.operator.process.PID()); err != nil {
		return wave{}, err
	}
	if w.before, err = s.mark(ctx); err != nil {
		return wave{}, err
	}
	if err := act(ctx); err != nil {
		return wave{}, err
	}
	if err := s.await(ctx, "all have rotated", limit, func(context.Context) (string, error) {
		return s.watch.allHaveHeld(s.Objects, rotated)
	}); err != nil {
		return wave{}, err
	}
	if err := s.awaitReady(ctx, limit); err != nil {
		return wave{}, err
	}
	if w.after, w.used, err = s.end(ctx); err != nil {
		return wave{}, err
	}
	calls, err := s.simulator.calls(ctx)
	if err != nil {
		return wave{}, err
	}
	w.rotations = rotationsBetween(w.before.at, w.after.at, calls, s.watch.snapshot())
	return w, nil
}

// figures returns the figures that every wave has.
func (w wave) figures(lateness string) []figure {
	return []figure{
		seen("wall time, s", w.after.at.Sub(w.before.at).Seconds(), ""),
		seen("rotations", float64(w.count), ""),
		seen("upstream calls per rotation", float64(w.after.calls-w.before.calls)/float64(w.count), ""),
		seen("API writes per rotation", w.requests().writes()/float64(w.count), ""),
		seen("renewal lateness p50, s", quantile(w.lateness, 0.5), ""),
		seen("renewal lateness p99, s", quantile(w.lateness, 0.99), lateness),
		seen("renewal lateness max, s", quantile(w.lateness, 1), ""),
		seen("calls before renewalTime", float64(w.early), ""),
		seen("expired tokens, s of all objects together", w.expired, "0"),
		seen("peak RSS, MiB", w.used.peak/(1<<20), ""),
	}
}

func (w wave) requests() requestCounts { return w.after.requests.minus(w.before.requests) }

// result returns the wave as the result of a scenario.
func (w wave) result(lateness, title string, more ...figure) result {
	return result{
		Per: "rotation", Title: title, Figures: append(more, w.figures(lateness)...),
		Requests: requestRows(w.requests(), float64(w.count), nil, 0),
	}
}

// hold waits for span, and returns an error if a program ended in the meantime.
func (s *stage) hold(ctx context.Context, what string, span time.Duration) error {
	s.sayf("%s for %s", what, span)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(span):
	}
	if err := s.running.Dead(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
