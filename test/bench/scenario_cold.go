package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// cold starts the operator when the PipesTokens already exist, and measures until all of them
// are Ready.
func cold(ctx context.Context, s *stage, floor floorFigures) result {
	empty := s.emptyMemory(ctx)
	s.fill(ctx)
	before := s.mark(ctx)
	s.sayf("cold: starting the operator")
	s.startOperator(ctx)
	starting := must(cpuSeconds(s.operator.process.PID()))
	s.awaitReady(ctx, s.patience())
	after, full := s.end(ctx)
	r := result{Per: "object", Title: fmt.Sprintf("Cold: %d PipesTokens exist when the operator starts", s.Objects)}
	r.Figures = append(s.coldTimes(floor), s.coldCosts(before, after, starting, floor)...)
	r.Figures = append(r.Figures, memoryFigures(empty, full, s.Objects)...)
	r.Requests = requestRows(after.requests.minus(before.requests), float64(s.Objects),
		floor.cold.requests, float64(s.Objects))
	r.plots = []plot{{
		file: "cold.svg", title: "PipesTokens that are Ready", x: "seconds since work began", y: "PipesTokens",
		lines: []line{
			{"operator", countOver(s.watch.readyTimes(), s.operator.leading)},
			{"floor", countOver(floor.cold.ready, floor.cold.Started)},
		},
	}}
	return r
}

// emptyMemory measures the memory of the operator without PipesTokens.
func (s *stage) emptyMemory(ctx context.Context) memory {
	s.sayf("cold: an operator without PipesTokens, for its memory")
	s.startOperator(ctx)
	s.await(ctx, "the PipesEnvironment is Ready", time.Minute, s.environmentReady)
	m := must(memoryOf(s.operator.process.PID()))
	check(s.stopOperator())
	return m
}

func (s *stage) awaitReady(ctx context.Context, limit time.Duration) {
	s.await(ctx, "all are Ready", limit,
		func(context.Context) (string, error) { return s.watch.allReady(s.Objects) })
}

// end waits until no more writes happen, and reads all counters.
func (s *stage) end(ctx context.Context) (mark, memory) {
	s.settle(ctx)
	m := s.mark(ctx)
	return m, must(memoryOf(s.operator.process.PID()))
}

func (s *stage) coldTimes(floor floorFigures) []figure {
	ready := slices.MaxFunc(s.watch.readyTimes(), time.Time.Compare)
	floorReady := slices.MaxFunc(floor.cold.ready, time.Time.Compare)
	o := s.operator
	return []figure{
		against("all Ready after work began (caches filled and leading; the floor: targets listed), s",
			ready.Sub(o.leading).Seconds(), floorReady.Sub(floor.cold.Started).Seconds(), "ratio ≤ 1.10 at 10,000"),
		against("all Ready after the process was started, s",
			ready.Sub(o.started).Seconds(), floorReady.Sub(floor.cold.launched).Seconds(), ""),
		seen("caches filled after the process was started, s", o.synced.Sub(o.started).Seconds(), ""),
		seen("leading after the process was started, s", o.leading.Sub(o.started).Seconds(), ""),
	}
}

func (s *stage) coldCosts(before, after mark, starting float64, floor floorFigures) []figure {
	n := float64(s.Objects)
	ready := slices.MaxFunc(s.watch.readyTimes(), time.Time.Compare)
	return []figure{
		seen("passes (reconciles) per second", after.passes/ready.Sub(s.operator.leading).Seconds(), ""),
		seen("passes per object", after.passes/n, ""),
		against("upstream calls per object", float64(after.calls-before.calls)/n, float64(floor.cold.calls)/n, ""),
		against("API writes per object",
			after.requests.minus(before.requests).writes()/n, floor.cold.requests.writes()/n, ""),
		against("CPU s per 1,000 objects, since work began", (after.cpu-starting)*1000/n, floor.cold.CPU*1000/n, ""),
		seen("CPU s until work began", starting, ""),
	}
}

// memoryFigures compares the memory of an operator with n objects and without objects.
func memoryFigures(empty, full memory, n int) []figure {
	const mebi = 1 << 20
	return []figure{
		seen("peak RSS, MiB", full.peak/mebi, "≤ 80 at 10,000; ≤ 400 at 100,000"),
		seen("RSS, MiB", full.resident/mebi, ""),
		seen("RSS without PipesTokens, MiB", empty.resident/mebi, ""),
		seen("bytes per object (difference of the two)", (full.resident-empty.resident)/float64(n), ""),
	}
}

// budget is like cold, but the requestsPerMinute of the PipesEnvironment is the bottleneck.
func (b *bench) budget(ctx context.Context) (r result, err error) {
	defer caught(&err)
	s := must(b.openStage(ctx, "budget", b.Lead, b.Budget))
	defer func() { err = errors.Join(err, s.close()) }()
	s.fill(ctx)
	before := s.mark(ctx)
	b.sayf("scenario budget")
	s.startOperator(ctx)
	perSecond := float64(b.Budget) / 60
	least := time.Duration(float64(b.Objects) / perSecond * float64(time.Second))
	s.awaitReady(ctx, 2*least+b.patience())
	after, _ := s.end(ctx)
	calls := must(s.simulator.calls(ctx))
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
