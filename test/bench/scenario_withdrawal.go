package main

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// withdrawal removes the grant of all PipesTokens at the same time, and then restores it.
func withdrawal(ctx context.Context, s *stage, floor floorFigures) result {
	s.awaitReady(ctx, s.patience())
	check(resetPeak(s.operator.process.PID()))
	before := s.mark(ctx)
	taken := time.Now()
	withdrawn := s.grantTo(ctx, "nobody", s.watch.noneReady)
	first := s.watch.firstUnready(taken).Sub(taken)
	between, used := s.end(ctx)
	granted := s.grantTo(ctx, "*", func() (string, error) { return s.watch.allReady(s.Objects) })
	after, _ := s.end(ctx)
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
	return r
}

// grantTo changes the namespaces of the grant, and measures the time until done reports nothing
// missing.
func (s *stage) grantTo(
	ctx context.Context, namespace string, done func() (missing string, err error),
) time.Duration {
	s.sayf("withdrawal: granting to %q", namespace)
	environment := &v1alpha1.PipesEnvironment{}
	check(s.plane.Root.Get(ctx, client.ObjectKey{Namespace: harness.Namespace, Name: environmentName}, environment))
	environment.Spec.Grants[0].Namespaces.Names = []string{namespace}
	start := time.Now()
	check(s.plane.Root.Update(ctx, environment))
	s.await(ctx, "the change of the grant has come true", s.patience(),
		func(context.Context) (string, error) { return done() })
	return time.Since(start)
}
