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
	if s.plane, err = startPlane(ctx, b.assets, filepath.Join(b.work, name)); err != nil {
		return nil, err
	}
	if s.simulator, err = b.startSimulator(ctx, name, early); err != nil {
		return nil, err
	}
	if err := s.plane.createEnvironment(ctx, s.simulator.url(), requestsPerMinute); err != nil {
		return nil, err
	}
	return s, b.await(ctx, "the operator has its rights", time.Minute, s.plane.allowed)
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
		errs = append(errs, s.plane.stop())
	}
	return errors.Join(errs...)
}

// fill creates the PipesTokens and starts to watch them.
func (s *stage) fill(ctx context.Context) error {
	s.sayf("%s: creating %d PipesTokens", s.name, s.Objects)
	if err := s.plane.populate(ctx, 0, s.Objects); err != nil {
		return err
	}
	s.watch = watchTokens(ctx, s.plane.root)
	return s.await(ctx, "all PipesTokens are watched", s.patience(),
		func(context.Context) (string, error) { return s.watch.allSeen(s.Objects) })
}

// startOperator starts the operator and waits until it is the leader.
func (s *stage) startOperator(ctx context.Context) (err error) {
	if s.operator, err = s.launch(ctx, "operator"); err != nil {
		s.operator = nil
		return err
	}
	if err := s.operator.awaitSynced(ctx, s.patience()); err != nil {
		return err
	}
	return s.operator.awaitLeading(ctx, s.patience())
}

func (s *stage) stopOperator() error {
	p := s.operator.process
	s.operator = nil
	return s.stop(p)
}

// environmentReady reports whether the PipesEnvironment is Ready.
func (s *stage) environmentReady(ctx context.Context) (missing string, err error) {
	environment := &v1alpha1.PipesEnvironment{}
	if err := s.plane.root.Get(ctx,
		client.ObjectKey{Namespace: operatorNamespace, Name: environmentName}, environment); err != nil {
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

func (s *stage) mark(ctx context.Context) (m mark, err error) {
	m.at = time.Now()
	if s.operator != nil {
		if m.cpu, err = cpuSeconds(s.operator.process.PID()); err != nil {
			return mark{}, err
		}
		if m.passes, err = s.operator.passes(ctx); err != nil {
			return mark{}, err
		}
	}
	if m.calls, err = s.simulator.total(ctx); err != nil {
		return mark{}, err
	}
	m.requests, err = s.plane.requests(ctx)
	return m, err
}

// settle waits until the number of writes no longer changes. For example, an object that has
// become Ready may still get an event. If writes never stop, settle gives up after about 10 s.
// The counts are then slightly inaccurate.
func (s *stage) settle(ctx context.Context) error {
	const looks = 20
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for last, look := -1.0, 0; look < looks; look++ {
		counts, err := s.plane.requests(ctx)
		if err != nil {
			return err
		}
		if counts.writes() == last {
			return nil
		}
		last = counts.writes()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
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
