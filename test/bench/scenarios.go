package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// scenario is a measurement on a stage. All scenarios except cold need a running operator, and
// leave it running for the next scenario.
type scenario struct {
	name string
	run  func(context.Context, *stage, floorFigures) result
}

// follow returns the scenarios that share a stage, in their order. cold is the first and always
// runs.
func follow() []scenario {
	return []scenario{
		{"cold", cold},
		{"rotation", rotation},
		{"restart", restart},
		{"restart-due", restartDue},
		{"failover", failover},
		{"churn", churn},
		{"outage", outage},
		{"429", tooManyRequests},
		{"withdrawal", withdrawal},
	}
}

// scenarioNames returns the names of all scenarios.
func scenarioNames() []string {
	var names []string
	for _, s := range follow() {
		names = append(names, s.name)
	}
	return append(names, "budget")
}

// runScenarios runs all requested scenarios. If it returns an error, it also returns the results
// so far.
func (b *bench) runScenarios(ctx context.Context) ([]result, error) {
	var results []result
	if budgets := b.times("budget"); budgets == 0 || budgets < len(b.Scenarios) {
		floor, err := b.measureFloor(ctx)
		if err != nil {
			return nil, fmt.Errorf("measuring the floor: %w", err)
		}
		if results, err = b.runFollowing(ctx, floor); err != nil {
			return results, err
		}
	}
	for range b.times("budget") {
		r, err := b.budget(ctx)
		if err != nil {
			return results, fmt.Errorf("scenario budget: %w", err)
		}
		results = append(results, r)
	}
	return results, nil
}

// wanted returns the scenarios that share a stage, each as often as it was requested.
func (p parameters) wanted() []scenario {
	var wanted []scenario
	for _, each := range follow() {
		times := p.times(each.name)
		if each.name == "cold" {
			times = 1
		}
		wanted = append(wanted, slices.Repeat([]scenario{each}, times)...)
	}
	return wanted
}

// runFollowing runs the scenarios that share a stage.
func (b *bench) runFollowing(ctx context.Context, floor floorFigures) (results []result, err error) {
	s, err := b.openStage(ctx, "operator", b.Lead, unlimited)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, each := range b.wanted() {
		b.sayf("scenario %s", each.name)
		r, err := s.measured(ctx, each, floor)
		if err != nil {
			return results, fmt.Errorf("scenario %s: %w", each.name, err)
		}
		r.Name, r.Notes = each.name, append(r.Notes, s.notes()...)
		results = append(results, r)
	}
	return results, nil
}

// measured runs a scenario, and returns the failure that has ended it.
func (s *stage) measured(ctx context.Context, scenario scenario, floor floorFigures) (r result, err error) {
	defer caught(&err)
	return scenario.run(ctx, s, floor), nil
}
