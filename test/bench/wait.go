package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pipes-operator/pipes-operator/hack/process"
)

// await calls look until it reports nothing missing. It returns an error if look fails, if a
// program ends unexpectedly, or if limit has passed.
func (b *bench) await(
	ctx context.Context, what string, limit time.Duration, look func(context.Context) (missing string, err error),
) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, process.ErrTooLate)
	defer cancel()
	// Polling costs the operator CPU time. With many objects, poll less often, because the
	// results need less precision.
	tick := time.NewTicker(50*time.Millisecond + time.Duration(b.Objects)*5*time.Microsecond)
	defer tick.Stop()
	for {
		missing, err := look(ctx)
		switch {
		case err == nil && missing == "":
			return nil
		case b.running.Dead() != nil:
			return fmt.Errorf("waiting until %s: %w", what, b.running.Dead())
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), process.ErrTooLate) {
				return fmt.Errorf("waiting until %s: not so after %s: %s", what, limit, missing)
			}
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
