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
	defer caught(&err)
	s := must(b.openStage(ctx, "floor", lead{always: true}, unlimited))
	defer func() { err = errors.Join(err, s.close()) }()
	s.fill(ctx)
	figures.cold = s.runFloor(ctx, phaseCold)
	s.await(ctx, "all are Ready", time.Minute, func(context.Context) (string, error) {
		return s.watch.allReady(s.Objects)
	})
	figures.cold.ready = s.watch.readyTimes()
	if b.wants("rotation") {
		figures.rotation = s.runFloor(ctx, phaseRotation)
	}
	if b.wants("withdrawal") {
		figures.withdrawal = s.runFloor(ctx, phaseWithdrawal)
	}
	return figures, nil
}

// runFloor runs a phase as a separate process.
func (s *stage) runFloor(ctx context.Context, phase string) (figures phaseFigures) {
	s.sayf("floor: %s", phase)
	before := s.mark(ctx)
	resultFile := filepath.Join(s.work, "floor-"+phase+".json")
	figures.launched = time.Now()
	p, err := s.start(ctx, "floor-"+phase, filepath.Base(os.Args[0]), floorCommand,
		"--phase="+phase, "--upstream="+s.simulator.url(), "--kubeconfig="+s.plane.kubeconfig,
		fmt.Sprintf("--workers=%d", s.Workers), "--result="+resultFile)
	check(err)
	s.running.Remove(p) // its end is expected
	select {
	case <-p.Ended:
	case <-time.After(s.patience()):
	case <-ctx.Done():
	}
	check(s.stop(p))
	s.settle(ctx)
	after := s.mark(ctx)
	figures.requests, figures.calls = after.requests.minus(before.requests), after.calls-before.calls
	text, err := os.ReadFile(resultFile)
	check(err)
	check(json.Unmarshal(text, &figures.floorResult))
	return figures
}
