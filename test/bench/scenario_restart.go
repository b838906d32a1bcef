package main

import (
	"context"
	"fmt"
	"time"
)

// restart stops and starts the operator while all tokens are valid.
func restart(ctx context.Context, s *stage, _ floorFigures) (result, error) {
	if err := s.stopOperator(); err != nil {
		return result{}, err
	}
	before, err := s.mark(ctx)
	if err != nil {
		return result{}, err
	}
	if err := s.startOperator(ctx); err != nil {
		return result{}, err
	}
	if err := s.await(ctx, "every timer is set", s.patience(), func(ctx context.Context) (string, error) {
		return s.operator.lookedAfter(ctx, s.Objects)
	}); err != nil {
		return result{}, err
	}
	set := time.Now()
	after, used, err := s.end(ctx)
	if err != nil {
		return result{}, err
	}
	calls, err := s.simulator.calls(ctx)
	if err != nil {
		return result{}, err
	}
	due := rotationsBetween(before.at, after.at, calls, s.watch.snapshot())
	requests := after.requests.minus(before.requests)
	r := result{
		Per:   "object",
		Title: fmt.Sprintf("Restart: the operator ends well and starts anew, with %d valid tokens", s.Objects),
	}
	r.Figures = []figure{
		seen("every timer is set after the process was started, s",
			set.Sub(s.operator.started).Seconds(), "≤ 60 at 100,000"),
		seen("every timer is set after leading, s", set.Sub(s.operator.leading).Seconds(), ""),
		seen("caches filled after the process was started, s", s.operator.synced.Sub(s.operator.started).Seconds(), ""),
		seen("passes per object", after.passes/float64(s.Objects), ""),
		seen("upstream calls", float64(after.calls-before.calls), "0, but for renewals that were due"),
		seen("upstream calls before renewalTime", float64(due.early), "0"),
		seen("API writes", requests.writes(), "0, but for renewals that were due"),
		seen("renewals that were due", float64(due.count), ""),
		seen("renewal lateness p99, s", quantile(due.lateness, 0.99), "≤ 20 at 10,000"),
		seen("expired tokens, s of all objects together", due.expired, "0"),
		seen("CPU s per 1,000 objects", after.cpu*1000/float64(s.Objects), ""),
		seen("peak RSS, MiB", used.peak/(1<<20), "≤ 80 at 10,000; ≤ 400 at 100,000"),
	}
	r.Requests = requestRows(requests, float64(s.Objects), nil, 0)
	return r, nil
}
