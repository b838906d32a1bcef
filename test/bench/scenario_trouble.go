package main

import (
	"context"
	"fmt"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// outage makes WorkOS fail every call while renewals are due. It lasts a tenth of a lifetime
// from the first failed call.
func outage(ctx context.Context, s *stage, _ floorFigures) (result, error) {
	return s.trouble(ctx, "Outage: WorkOS answers 500", map[string]any{"kind": workossim.FaultServerError})
}

// tooManyRequests makes WorkOS answer every call with 429 and Retry-After: 5 for the same time.
func tooManyRequests(ctx context.Context, s *stage, _ floorFigures) (result, error) {
	return s.trouble(ctx, "429 storm: WorkOS answers 429 with Retry-After: 5",
		map[string]any{"kind": workossim.FaultRateLimited, "retryAfter": "5"})
}

// trouble injects a fault during a wave of renewals.
func (s *stage) trouble(ctx context.Context, title string, fault map[string]any) (result, error) {
	span := s.Lifetime.Duration / 10
	var during, ended mark
	w, err := s.throughWave(ctx, func(ctx context.Context) (err error) {
		if during, err = s.mark(ctx); err != nil {
			return err
		}
		if err := s.simulator.inject(ctx, fault); err != nil {
			return err
		}
		if err := s.awaitCallAfter(ctx, during.calls); err != nil {
			return err
		}
		if err := s.hold(ctx, title, span); err != nil {
			return err
		}
		if err := s.simulator.behave(ctx, s.Latency.Duration); err != nil {
			return err
		}
		ended, err = s.mark(ctx)
		return err
	})
	if err != nil {
		return result{}, err
	}
	calls, err := s.simulator.calls(ctx)
	if err != nil {
		return result{}, err
	}
	after := timesAfter(ended.at, calls)
	return w.result("", fmt.Sprintf("%s for %s, while renewals are due", title, span),
		seen("upstream calls meanwhile", float64(ended.calls-during.calls), ""),
		seen("API writes meanwhile", ended.requests.minus(during.requests).writes(), ""),
		seen("most calls within any 1 s afterwards", float64(mostWithin(after, time.Second)), ""),
		seen("all have rotated after its end, s", w.after.at.Sub(ended.at).Seconds(), "")), nil
}

// awaitCallAfter waits until the simulator has received more than so many calls.
func (s *stage) awaitCallAfter(ctx context.Context, calls int) error {
	return s.await(ctx, "a call has failed", s.Lifetime.Duration,
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
