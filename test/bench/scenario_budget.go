package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// budget is like cold, but the requestsPerMinute of the PipesEnvironment is the bottleneck.
func (b *bench) budget(ctx context.Context) (r result, err error) {
	s, err := b.openStage(ctx, "budget", b.Lead, b.Budget)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.fill(ctx); err != nil {
		return result{}, err
	}
	before, err := s.mark(ctx)
	if err != nil {
		return result{}, err
	}
	b.sayf("scenario budget")
	if err := s.startOperator(ctx); err != nil {
		return result{}, err
	}
	perSecond := float64(b.Budget) / 60
	least := time.Duration(float64(b.Objects) / perSecond * float64(time.Second))
	if err := s.awaitReady(ctx, 2*least+b.patience()); err != nil {
		return result{}, err
	}
	after, _, err := s.end(ctx)
	if err != nil {
		return result{}, err
	}
	calls, err := s.simulator.calls(ctx)
	if err != nil {
		return result{}, err
	}
	r = result{
		Name:  "budget",
		Per:   "object",
		Title: fmt.Sprintf("Budget: cold, with %d requests per minute", b.Budget),
		Notes: s.notes(),
	}
	r.Figures = s.budgetFigures(calls, before, after, perSecond)
	r.Requests = requestRows(after.requests.minus(before.requests), float64(b.Objects), nil, 0)
	r.plots = []plot{budgetPlot(timesOf(calls), perSecond)}
	return r, nil
}

func timesOf(calls []call) []time.Time {
	times := make([]time.Time, 0, len(calls))
	for _, c := range calls {
		times = append(times, c.at)
	}
	return times
}

// budgetPlot plots the calls and the budget over time, from the first call on.
func budgetPlot(calls []time.Time, perSecond float64) plot {
	return plot{
		file: "budget.svg", title: "Upstream calls", x: "seconds since the first", y: "calls",
		lines: []line{
			{"made", countOver(calls, calls[0])},
			{"allowed", []point{{0, 0}, {float64(len(calls)) / perSecond, float64(len(calls))}}},
		},
	}
}

func (s *stage) budgetFigures(calls []call, before, after mark, perSecond float64) []figure {
	times := timesOf(calls)
	ready := slices.MaxFunc(s.watch.readyTimes(), time.Time.Compare)
	n := float64(s.Objects)
	return []figure{
		against("all Ready after work began (the floor: what the budget allows), s",
			ready.Sub(s.operator.leading).Seconds(), n/perSecond, ""),
		seen("share of the budget that was used while it was the limit, percent",
			100*shareUsed(times, perSecond), "≥ 98 at 10,000"),
		seen("most calls within any 60 s", float64(mostWithin(times, time.Minute)), fmt.Sprintf("≤ %d", s.Budget)),
		seen("most calls within any 1 s", float64(mostWithin(times, time.Second)), ""),
		seen("upstream calls per object", float64(after.calls-before.calls)/n, ""),
		seen("passes per object", after.passes/n, ""),
		seen("API writes per object", after.requests.minus(before.requests).writes()/n, ""),
		seen("CPU s per 1,000 objects", after.cpu*1000/n, ""),
	}
}

// shareUsed returns the share of the budget that was used between the first call and the last
// call. calls must be sorted. The first call does not count, because time starts with it. Calls
// of the initial burst count, so the share may exceed 1 for a small number of calls.
func shareUsed(calls []time.Time, perSecond float64) float64 {
	if len(calls) < 2 {
		return unknown
	}
	return float64(len(calls)-1) / (perSecond * calls[len(calls)-1].Sub(calls[0]).Seconds())
}
