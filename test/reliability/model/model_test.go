//go:build reliability

// Package model_test runs the operator's real controllers through random sequences of events, on
// a stand-in for the API server and the simulator of WorkOS. It checks the invariants of
// docs/explanation/reliability.md at each write and after each step.
package model_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/pipes-operator/pipes-operator/test/reliability/figures"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// figuresFile and figuresTitle are of the recorded figures. The race detector has its own.
var figuresFile, figuresTitle = "10-model", "The model: random sequences of what can happen"

// Requests per minute that an API key may make: fewer than some objects need, or enough for all.
const (
	scarce int32 = 6
	plenty int32 = 600
)

func TestModel(t *testing.T) {
	var seen totals
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, draw(t, "requests per minute", scarce, plenty))
		defer w.end()
		t.Repeat(w.actions())
		w.settle()
		w.end()
		w.check()
		seen.add(w)
	})
	if !t.Failed() {
		figures.Record(t, figuresFile, figures.Suite{Name: figuresTitle, Figures: seen.figures()})
	}
}

// totals sums up all sequences.
type totals struct {
	sequences, steps, passes, calls, tokens, processes int
	effects                                            map[effect]int
}

func (s *totals) add(w *world) {
	s.sequences++
	// rapid runs the check action once before the first step.
	s.steps += w.steps - 1
	s.passes += w.passes
	s.calls += len(w.calls)
	s.processes += w.started
	for _, writes := range w.writes {
		s.tokens += len(writes)
	}
	if s.effects == nil {
		s.effects = map[effect]int{}
	}
	for effect, count := range w.effects {
		s.effects[effect] += count
	}
}

func (s *totals) figures() []figures.Figure {
	var effects []string
	for _, effect := range slices.Sorted(maps.Keys(s.effects)) {
		effects = append(effects, fmt.Sprintf("%s %d", effect, s.effects[effect]))
	}
	return []figures.Figure{
		{Name: "sequences of actions, each ended by a return to health", Value: itoa(s.sequences)},
		{Name: "actions in one, on average", Value: fmt.Sprintf("%.1f", float64(s.steps)/float64(max(1, s.sequences)))},
		{Name: "passes over an object", Value: itoa(s.passes)},
		{Name: "processes of the operator, started and killed", Value: itoa(s.processes)},
		{Name: "calls of WorkOS", Value: itoa(s.calls)},
		{Name: "tokens written", Value: itoa(s.tokens)},
		{Name: "what happened to single requests", Value: strings.Join(effects, ", ")},
		{Name: "violations of an invariant", Value: "0", Promise: "0"},
	}
}
