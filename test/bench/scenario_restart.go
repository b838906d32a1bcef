package main

import (
	"context"
	"fmt"
	"time"
)

// restart stops and starts the operator while all tokens are valid.
func restart(ctx context.Context, s *stage, _ floorFigures) result {
	check(s.stopOperator())
	before := s.mark(ctx)
	s.startOperator(ctx)
	s.await(ctx, "every timer is set", s.patience(), func(ctx context.Context) (string, error) {
		return s.operator.lookedAfter(ctx, s.Objects)
	})
	set := time.Now()
	after, used := s.end(ctx)
	calls := must(s.simulator.calls(ctx))
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
	return r
}

// latenessTarget is the goal for scenarios that interrupt the operator or give it more work than
// renewals.
const latenessTarget = "≤ 20 at 10,000"

// restartDue restarts the operator while renewals are due.
func restartDue(ctx context.Context, s *stage, _ floorFigures) result {
	var down time.Duration
	w := s.throughWave(ctx, func(ctx context.Context) {
		s.sayf("restart-due: restarting the operator")
		stopping := time.Now()
		check(s.stopOperator())
		s.startOperator(ctx)
		down = s.operator.leading.Sub(stopping)
	})
	return w.result(latenessTarget, "Restart while renewals are due",
		seen("leading again after SIGTERM, s", down.Seconds(), ""))
}

// failover kills the operator without warning, while another replica is on standby.
func failover(ctx context.Context, s *stage, _ floorFigures) result {
	standby := must(s.launch(ctx, "standby"))
	check(standby.awaitSynced(ctx, s.patience()))
	var down, set time.Duration
	w := s.throughWave(ctx, func(ctx context.Context) {
		s.sayf("failover: killing the operator")
		killed := time.Now()
		s.running.Remove(s.operator.process)
		s.operator.process.Kill()
		s.operator = standby
		check(standby.awaitLeading(ctx, s.patience()))
		down = standby.leading.Sub(killed)
		s.await(ctx, "every timer is set", s.patience(), func(ctx context.Context) (string, error) {
			return standby.lookedAfter(ctx, s.Objects)
		})
		set = time.Since(killed)
	})
	return w.result(latenessTarget, "Failover: the operator is killed while renewals are due, and another stands by",
		seen("the other leads after the kill, s", down.Seconds(), ""),
		seen("every timer is set after the kill, s", set.Seconds(), ""))
}
