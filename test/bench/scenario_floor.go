package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// floorFigures are the results of the floor.
type floorFigures struct{ cold, rotation, withdrawal phaseFigures }

// phaseFigures are the results of a phase.
type phaseFigures struct {
	floorResult
	launched time.Time   // start of the process
	ready    []time.Time // when PipesTokens became Ready; only for phaseCold
	requests requestCounts
	calls    int
}

// measureFloor runs the floor for each scenario that is compared with it, on a separate stage.
// On this stage, the upstream returns a new token on every call, so that the floor can rotate
// tokens immediately.
func (b *bench) measureFloor(ctx context.Context) (figures floorFigures, err error) {
	s, err := b.openStage(ctx, "floor", lead{always: true}, unlimited)
	if err != nil {
		return floorFigures{}, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.fill(ctx); err != nil {
		return floorFigures{}, err
	}
	if figures.cold, err = s.runFloor(ctx, phaseCold); err != nil {
		return floorFigures{}, err
	}
	if err := s.await(ctx, "all are Ready", time.Minute, func(context.Context) (string, error) {
		return s.watch.allReady(s.Objects)
	}); err != nil {
		return floorFigures{}, err
	}
	figures.cold.ready = s.watch.readyTimes()
	if b.wants("rotation") {
		if figures.rotation, err = s.runFloor(ctx, phaseRotation); err != nil {
			return floorFigures{}, err
		}
	}
	if b.wants("withdrawal") {
		figures.withdrawal, err = s.runFloor(ctx, phaseWithdrawal)
	}
	return figures, err
}

// runFloor runs a phase as a separate process.
func (s *stage) runFloor(ctx context.Context, phase string) (figures phaseFigures, err error) {
	s.sayf("floor: %s", phase)
	before, err := s.mark(ctx)
	if err != nil {
		return phaseFigures{}, err
	}
	resultFile := filepath.Join(s.work, "floor-"+phase+".json")
	figures.launched = time.Now()
	p, err := s.start(ctx, "floor-"+phase, filepath.Base(os.Args[0]), floorCommand,
		"--phase="+phase, "--upstream="+s.simulator.url(), "--kubeconfig="+s.plane.operatorKubeconfig(),
		fmt.Sprintf("--workers=%d", s.Workers), "--result="+resultFile)
	if err != nil {
		return phaseFigures{}, err
	}
	s.running.Remove(p) // its end is expected
	select {
	case <-p.Ended:
	case <-time.After(s.patience()):
	case <-ctx.Done():
	}
	if err := s.stop(p); err != nil {
		return phaseFigures{}, err
	}
	if err := s.settle(ctx); err != nil {
		return phaseFigures{}, err
	}
	after, err := s.mark(ctx)
	if err != nil {
		return phaseFigures{}, err
	}
	figures.requests, figures.calls = after.requests.minus(before.requests), after.calls-before.calls
	text, err := os.ReadFile(resultFile)
	if err != nil {
		return phaseFigures{}, fmt.Errorf("reading what the floor has measured: %w", err)
	}
	return figures, json.Unmarshal(text, &figures.floorResult)
}
