package main

import (
	"context"
	"fmt"
	"time"
)

// rotation measures the renewals of a running operator.
func rotation(ctx context.Context, s *stage, floor floorFigures) result {
	check(resetPeak(s.operator.process.PID()))
	before := s.mark(ctx)
	learned := before
	if s.Lifetimes > 1 {
		s.awaitRotations(ctx, s.Lifetimes-1)
		learned = s.mark(ctx)
	}
	s.awaitRotations(ctx, s.Lifetimes)
	after, used := s.end(ctx)
	calls := must(s.simulator.calls(ctx))
	held := s.watch.snapshot()
	seenRotations, last := rotationsBetween(before.at, after.at, calls, held),
		rotationsBetween(learned.at, after.at, calls, held)
	r := result{
		Per:   "rotation",
		Title: fmt.Sprintf("Rotation: %d lifetimes of %s (LEAD=%s)", s.Lifetimes, s.Lifetime, s.Lead),
	}
	r.Figures = append(rotationFigures(before, after, seenRotations),
		s.rotationCosts(before, after, seenRotations, used, floor)...)
	r.Figures = append(r.Figures, against(
		"CPU s per 1,000 rotations, from the last lifetime on: nothing has to be learned any more",
		(after.cpu-learned.cpu)*1000/float64(last.count), floor.rotation.CPU*1000/float64(s.Objects),
		"ratio ≤ 1.5 at 10,000"))
	r.Requests = requestRows(after.requests.minus(before.requests), float64(seenRotations.count),
		floor.rotation.requests, float64(s.Objects))
	r.plots = []plot{{
		file: "lateness.svg", title: "How late renewals are asked for",
		x: "seconds after status.renewalTime", y: "percent of renewals",
		lines: []line{{"operator", distribution(seenRotations.lateness)}},
	}}
	return r
}

// awaitRotations waits until every token has been replaced count times.
func (s *stage) awaitRotations(ctx context.Context, count int) {
	limit := time.Duration(s.Lifetimes+1)*s.Lifetime.Duration + s.patience()
	s.await(ctx, fmt.Sprintf("all have rotated %d times", count), limit, func(context.Context) (string, error) {
		return s.watch.allHaveHeld(s.Objects, 1+count)
	})
}

// rotationFigures returns the figures about time.
func rotationFigures(before, after mark, r rotations) []figure {
	figures := []figure{
		seen("wall time, s", after.at.Sub(before.at).Seconds(), ""),
		seen("rotations", float64(r.count), ""),
		seen("passes per rotation", (after.passes-before.passes)/float64(r.count), ""),
	}
	for i, calls := range r.calls {
		target := ""
		if i == len(r.calls)-1 {
			target = "≤ 1.05 after learning"
		}
		figures = append(figures, seen(
			fmt.Sprintf("upstream calls per lifetime, of lifetime %d (of %d tokens)", i+1, len(calls)), mean(calls), target))
	}
	return append(figures,
		seen("renewal lateness p50, s", quantile(r.lateness, 0.5), ""),
		seen("renewal lateness p99, s", quantile(r.lateness, 0.99), "≤ 5 at 10,000"),
		seen("renewal lateness max, s", quantile(r.lateness, 1), ""),
		seen("calls before renewalTime", float64(r.early), ""),
		seen("expired tokens, s of all objects together", r.expired, "0"),
	)
}

// rotationCosts returns the figures about the amount of work.
func (s *stage) rotationCosts(before, after mark, r rotations, used memory, floor floorFigures) []figure {
	n, count := float64(s.Objects), float64(r.count)
	return []figure{
		against("API writes per rotation",
			after.requests.minus(before.requests).writes()/count, floor.rotation.requests.writes()/n, "2.00"),
		against("CPU s per 1,000 rotations", (after.cpu-before.cpu)*1000/count, floor.rotation.CPU*1000/n, ""),
		seen("peak RSS, MiB", used.peak/(1<<20), "≤ 80 at 10,000; ≤ 400 at 100,000"),
	}
}
