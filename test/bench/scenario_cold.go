package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// cold starts the operator when the PipesTokens already exist, and measures until all of them
// are Ready.
func cold(ctx context.Context, s *stage, floor floorFigures) (result, error) {
	empty, err := s.emptyMemory(ctx)
	if err != nil {
		return result{}, err
	}
	if err := s.fill(ctx); err != nil {
		return result{}, err
	}
	before, err := s.mark(ctx)
	if err != nil {
		return result{}, err
	}
	s.sayf("cold: starting the operator")
	if err := s.startOperator(ctx); err != nil {
		return result{}, err
	}
	starting, err := cpuSeconds(s.operator.process.PID())
	if err != nil {
		return result{}, err
	}
	if err := s.awaitReady(ctx, s.patience()); err != nil {
		return result{}, err
	}
	after, full, err := s.end(ctx)
	if err != nil {
		return result{}, err
	}
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
	return r, nil
}

// emptyMemory measures the memory of the operator without PipesTokens.
func (s *stage) emptyMemory(ctx context.Context) (memory, error) {
	s.sayf("cold: an operator without PipesTokens, for its memory")
	if err := s.startOperator(ctx); err != nil {
		return memory{}, err
	}
	if err := s.await(ctx, "the PipesEnvironment is Ready", time.Minute, s.environmentReady); err != nil {
		return memory{}, err
	}
	m, err := memoryOf(s.operator.process.PID())
	if err != nil {
		return memory{}, err
	}
	return m, s.stopOperator()
}

func (s *stage) awaitReady(ctx context.Context, limit time.Duration) error {
	return s.await(ctx, "all are Ready", limit,
		func(context.Context) (string, error) { return s.watch.allReady(s.Objects) })
}

// end waits until no more writes happen, and reads all counters.
func (s *stage) end(ctx context.Context) (mark, memory, error) {
	if err := s.settle(ctx); err != nil {
		return mark{}, memory{}, err
	}
	m, err := s.mark(ctx)
	if err != nil {
		return mark{}, memory{}, err
	}
	used, err := memoryOf(s.operator.process.PID())
	return m, used, err
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
