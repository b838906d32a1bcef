package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/hack/process"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// stage is a separate control plane and simulator. Scenarios on the same stage continue from
// each other's state.
type stage struct {
	*bench
	name      string
	plane     *plane
	simulator *simulator
	watch     *watcher  // nil before fill
	operator  *operator // nil if it is not running
}

// openStage starts a control plane and a simulator. It creates a PipesEnvironment but no
// PipesTokens.
func (b *bench) openStage(ctx context.Context, name string, early lead, requestsPerMinute int) (_ *stage, err error) {
	b.sayf("%s: starting a control plane and a simulator", name)
	s := &stage{bench: b, name: name}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	defer caught(&err)
	s.plane = must(startPlane(ctx, filepath.Join(b.work, name)))
	s.simulator = must(b.startSimulator(ctx, name, early))
	return s, s.plane.createEnvironment(ctx, s.simulator.url(), requestsPerMinute)
}

// close stops all programs of the stage.
func (s *stage) close() error {
	var errs []error
	if s.watch != nil {
		s.watch.close()
	}
	if s.operator != nil {
		errs = append(errs, s.stopOperator())
	}
	if s.simulator != nil {
		errs = append(errs, s.stop(s.simulator.process))
	}
	if s.plane != nil {
		errs = append(errs, s.plane.Stop())
	}
	return errors.Join(errs...)
}

// fill creates the PipesTokens and starts to watch them.
func (s *stage) fill(ctx context.Context) {
	s.sayf("%s: creating %d PipesTokens", s.name, s.Objects)
	check(s.plane.populate(ctx, 0, s.Objects))
	s.watch = watchTokens(ctx, s.plane.Root)
	s.await(ctx, "all PipesTokens are watched", s.patience(),
		func(context.Context) (string, error) { return s.watch.allSeen(s.Objects) })
}

// startOperator starts the operator and waits until it is the leader.
func (s *stage) startOperator(ctx context.Context) {
	s.operator = must(s.launch(ctx, "operator"))
	check(s.operator.awaitSynced(ctx, s.patience()))
	check(s.operator.awaitLeading(ctx, s.patience()))
}

func (s *stage) stopOperator() error {
	p := s.operator.process
	s.operator = nil
	return s.stop(p)
}

// environmentReady reports whether the PipesEnvironment is Ready.
func (s *stage) environmentReady(ctx context.Context) (missing string, err error) {
	environment := &v1alpha1.PipesEnvironment{}
	if err := s.plane.Root.Get(ctx,
		client.ObjectKey{Namespace: harness.Namespace, Name: environmentName}, environment); err != nil {
		return "", err
	}
	if !meta.IsStatusConditionTrue(environment.Status.Conditions, v1alpha1.ReadyCondition) {
		return "it is not Ready", nil
	}
	return "", nil
}

// mark is the state of all counters at an instant.
type mark struct {
	at       time.Time
	requests requestCounts
	calls    int
	// passes and cpu are for the operator process. They are 0 if it is not running.
	passes, cpu float64
}

func (s *stage) mark(ctx context.Context) (m mark) {
	m.at = time.Now()
	if s.operator != nil {
		m.cpu = must(cpuSeconds(s.operator.process.PID()))
		m.passes = must(s.operator.passes(ctx))
	}
	m.calls = must(s.simulator.total(ctx))
	m.requests = must(s.plane.requests(ctx))
	return m
}

// settle waits until the number of writes no longer changes. For example, an object that has
// become Ready may still get an event. If writes never stop, settle gives up after about 10 s.
// The counts are then slightly inaccurate.
func (s *stage) settle(ctx context.Context) {
	const looks = 20
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for last, look := -1.0, 0; look < looks; look++ {
		counts := must(s.plane.requests(ctx))
		if counts.writes() == last {
			return
		}
		last = counts.writes()
		select {
		case <-ctx.Done():
			check(context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// notes returns remarks about the measurement itself.
func (s *stage) notes() []string {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	if s.watch.restarts == 0 {
		return nil
	}
	return []string{fmt.Sprintf("The API server has ended the watch of the harness %d times, "+
		"so that times of Ready may be late.", s.watch.restarts)}
}

// await calls look until it reports nothing missing. The measurement fails if look fails, if a
// program ends unexpectedly, or if limit has passed.
func (b *bench) await(
	ctx context.Context, what string, limit time.Duration, look func(context.Context) (missing string, err error),
) {
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
			return
		case b.running.Dead() != nil:
			check(fmt.Errorf("waiting until %s: %w", what, b.running.Dead()))
		case err != nil && ctx.Err() == nil:
			check(fmt.Errorf("waiting until %s: %w", what, err))
		}
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), process.ErrTooLate) {
				check(fmt.Errorf("waiting until %s: not so after %s: %s", what, limit, missing))
			}
			check(context.Cause(ctx))
		case <-tick.C:
		}
	}
}
