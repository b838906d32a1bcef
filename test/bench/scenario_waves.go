package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// outage makes WorkOS fail every call while renewals are due. It lasts a tenth of a lifetime
// from the first failed call.
func outage(ctx context.Context, s *stage, _ floorFigures) result {
	return s.trouble(ctx, "Outage: WorkOS answers 500", map[string]any{"kind": workossim.FaultServerError})
}

// tooManyRequests makes WorkOS answer every call with 429 and Retry-After: 5 for the same time.
func tooManyRequests(ctx context.Context, s *stage, _ floorFigures) result {
	return s.trouble(ctx, "429 storm: WorkOS answers 429 with Retry-After: 5",
		map[string]any{"kind": workossim.FaultRateLimited, "retryAfter": "5"})
}

// trouble injects a fault during a wave of renewals.
func (s *stage) trouble(ctx context.Context, title string, fault map[string]any) result {
	span := s.Lifetime.Duration / 10
	var during, ended mark
	w := s.throughWave(ctx, func(ctx context.Context) {
		during = s.mark(ctx)
		check(s.simulator.inject(ctx, fault))
		s.awaitCallAfter(ctx, during.calls)
		check(s.hold(ctx, title, span))
		check(s.simulator.behave(ctx, s.Latency.Duration))
		ended = s.mark(ctx)
	})
	calls := must(s.simulator.calls(ctx))
	after := timesAfter(ended.at, calls)
	return w.result("", fmt.Sprintf("%s for %s, while renewals are due", title, span),
		seen("upstream calls meanwhile", float64(ended.calls-during.calls), ""),
		seen("API writes meanwhile", ended.requests.minus(during.requests).writes(), ""),
		seen("most calls within any 1 s afterwards", float64(mostWithin(after, time.Second)), ""),
		seen("all have rotated after its end, s", w.after.at.Sub(ended.at).Seconds(), ""))
}

// awaitCallAfter waits until the simulator has received more than so many calls.
func (s *stage) awaitCallAfter(ctx context.Context, calls int) {
	s.await(ctx, "a call has failed", s.Lifetime.Duration,
		func(ctx context.Context) (missing string, err error) {
			total, err := s.simulator.total(ctx)
			if total == calls {
				missing = "there was none"
			}
			return missing, err
		})
}

func timesAfter(begin time.Time, calls []call) (times []time.Time) {
	for _, c := range calls {
		if c.at.After(begin) {
			times = append(times, c.at)
		}
	}
	return times
}

// wave is the result of renewals during about a lifetime, with an action in the middle.
type wave struct {
	before, after mark
	rotations
	used memory
}

// throughWave waits until 10% of the tokens have been renewed once more, runs act, and waits
// until all tokens have been renewed. The action runs while most renewals are due, because
// tokens that were obtained together are renewed together.
func (s *stage) throughWave(ctx context.Context, act func(context.Context)) (w wave) {
	rotated, limit := s.watch.least()+1, 2*s.Lifetime.Duration+s.patience()
	s.sayf("waiting for renewals to be due")
	s.await(ctx, "a tenth have rotated", limit, func(context.Context) (string, error) {
		return s.watch.allHaveHeld(max(1, s.Objects/10), rotated)
	})
	check(resetPeak(s.operator.process.PID()))
	w.before = s.mark(ctx)
	act(ctx)
	s.await(ctx, "all have rotated", limit, func(context.Context) (string, error) {
		return s.watch.allHaveHeld(s.Objects, rotated)
	})
	s.awaitReady(ctx, limit)
	w.after, w.used = s.end(ctx)
	calls := must(s.simulator.calls(ctx))
	w.rotations = rotationsBetween(w.before.at, w.after.at, calls, s.watch.snapshot())
	return w
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

// churn creates 10% more PipesTokens while renewals are due, as fast as the API server accepts
// them, and deletes them at the end.
func churn(ctx context.Context, s *stage, _ floorFigures) result {
	first, end := s.Objects, s.Objects+max(1, s.Objects/10)
	var created time.Time
	w := s.throughWave(ctx, func(ctx context.Context) {
		s.sayf("churn: creating %d PipesTokens more", end-first)
		created = time.Now()
		check(s.plane.populate(ctx, first, end))
		s.await(ctx, "the new ones are Ready", s.patience(), func(context.Context) (string, error) {
			return s.watch.allReadyAmong(first, end)
		})
	})
	var waited []float64
	histories := s.watch.snapshot()
	for object := first; object < end; object++ {
		waited = append(waited, histories[object].ready.Sub(created).Seconds())
	}
	r := w.result(latenessTarget, fmt.Sprintf("Churn: %d PipesTokens more while renewals are due", end-first),
		seen("new ones are Ready after their creation began, p50, s", quantile(waited, 0.5), ""),
		seen("new ones are Ready after their creation began, max, s", quantile(waited, 1), ""))
	r.Notes = append(r.Notes, "Requests are divided by rotations, and those for the new PipesTokens are among them. "+
		"POST of those is the harness's own.")
	s.remove(ctx, first, end)
	return r
}

// remove deletes PipesTokens and their Secrets. It deletes the Secrets because this control
// plane has no garbage collector.
func (s *stage) remove(ctx context.Context, first, end int) {
	for object := first; object < end; object++ {
		token := newToken(object)
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: token.Namespace, Name: token.Name}}
		for _, each := range []client.Object{token, secret} {
			check(client.IgnoreNotFound(s.plane.Root.Delete(ctx, each)))
		}
	}
	s.await(ctx, "they are seen to be gone", s.patience(), func(context.Context) (string, error) {
		if left := len(s.watch.snapshot()) - s.Objects; left > 0 {
			return fmt.Sprintf("%d are left", left), nil
		}
		return "", nil
	})
}
