package main

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// withdrawal removes the grant of all PipesTokens at the same time, and then restores it.
func withdrawal(ctx context.Context, s *stage, floor floorFigures) (result, error) {
	if err := s.awaitReady(ctx, s.patience()); err != nil {
		return result{}, err
	}
	if err := resetPeak(s.operator.process.PID()); err != nil {
		return result{}, err
	}
	before, err := s.mark(ctx)
	if err != nil {
		return result{}, err
	}
	taken := time.Now()
	withdrawn, err := s.grantTo(ctx, "nobody", s.watch.noneReady)
	if err != nil {
		return result{}, err
	}
	first := s.watch.firstUnready(taken).Sub(taken)
	between, used, err := s.end(ctx)
	if err != nil {
		return result{}, err
	}
	granted, err := s.grantTo(ctx, "*", func() (string, error) { return s.watch.allReady(s.Objects) })
	if err != nil {
		return result{}, err
	}
	after, _, err := s.end(ctx)
	if err != nil {
		return result{}, err
	}
	n := float64(s.Objects)
	r := result{
		Per:   "object",
		Title: fmt.Sprintf("Withdrawal: the grant of %d PipesTokens is taken away, and given back", s.Objects),
	}
	r.Figures = []figure{
		seen("the first PipesToken says that its token is gone after, s", first.Seconds(), ""),
		against("no token is left after the grant was taken away, s", withdrawn.Seconds(), floor.withdrawal.Seconds, ""),
		against("API writes per object for that",
			between.requests.minus(before.requests).writes()/n, floor.withdrawal.requests.writes()/n, ""),
		seen("upstream calls for that", float64(between.calls-before.calls), ""),
		against("CPU s per 1,000 objects for that", (between.cpu-before.cpu)*1000/n, floor.withdrawal.CPU*1000/n, ""),
		seen("passes per object for that", (between.passes-before.passes)/n, ""),
		seen("peak RSS, MiB", used.peak/(1<<20), ""),
		seen("all Ready after it was given back, s", granted.Seconds(), ""),
		seen("API writes per object for that", after.requests.minus(between.requests).writes()/n, ""),
		seen("upstream calls per object for that", float64(after.calls-between.calls)/n, ""),
	}
	r.Requests = requestRows(between.requests.minus(before.requests), n, floor.withdrawal.requests, n)
	r.Notes = []string{"Requests are those of the withdrawal alone. " +
		"GET and PUT of the PipesEnvironment are the harness's own."}
	return r, nil
}

// grantTo changes the namespaces of the grant, and measures the time until done reports nothing
// missing.
func (s *stage) grantTo(
	ctx context.Context, namespace string, done func() (missing string, err error),
) (time.Duration, error) {
	s.sayf("withdrawal: granting to %q", namespace)
	environment := &v1alpha1.PipesEnvironment{}
	if err := s.plane.root.Get(ctx,
		client.ObjectKey{Namespace: operatorNamespace, Name: environmentName}, environment); err != nil {
		return 0, fmt.Errorf("changing the grant: %w", err)
	}
	environment.Spec.Grants[0].Namespaces.Names = []string{namespace}
	start := time.Now()
	if err := s.plane.root.Update(ctx, environment); err != nil {
		return 0, fmt.Errorf("changing the grant: %w", err)
	}
	err := s.await(ctx, "the change of the grant has come true", s.patience(),
		func(context.Context) (string, error) { return done() })
	return time.Since(start), err
}
