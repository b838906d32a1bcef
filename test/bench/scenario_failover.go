package main

import (
	"context"
	"time"
)

// latenessTarget is the goal for scenarios that interrupt the operator or give it more work than
// renewals.
const latenessTarget = "≤ 20 at 10,000"

// restartDue restarts the operator while renewals are due.
func restartDue(ctx context.Context, s *stage, _ floorFigures) (result, error) {
	var down time.Duration
	w, err := s.throughWave(ctx, func(ctx context.Context) error {
		s.sayf("restart-due: restarting the operator")
		stopping := time.Now()
		if err := s.stopOperator(); err != nil {
			return err
		}
		if err := s.startOperator(ctx); err != nil {
			return err
		}
		down = s.operator.leading.Sub(stopping)
		return nil
	})
	return w.result(latenessTarget, "Restart while renewals are due",
		seen("leading again after SIGTERM, s", down.Seconds(), "")), err
}

// failover kills the operator without warning, while another replica is on standby.
func failover(ctx context.Context, s *stage, _ floorFigures) (result, error) {
	standby, err := s.launch(ctx, "standby")
	if err != nil {
		return result{}, err
	}
	if err := standby.awaitSynced(ctx, s.patience()); err != nil {
		return result{}, err
	}
	var down, set time.Duration
	w, err := s.throughWave(ctx, func(ctx context.Context) error {
		s.sayf("failover: killing the operator")
		killed := time.Now()
		s.running.Remove(s.operator.process)
		s.operator.process.Kill()
		s.operator = standby
		if err := standby.awaitLeading(ctx, s.patience()); err != nil {
			return err
		}
		down = standby.leading.Sub(killed)
		err := s.await(ctx, "every timer is set", s.patience(), func(ctx context.Context) (string, error) {
			return standby.lookedAfter(ctx, s.Objects)
		})
		set = time.Since(killed)
		return err
	})
	return w.result(latenessTarget, "Failover: the operator is killed while renewals are due, and another stands by",
		seen("the other leads after the kill, s", down.Seconds(), ""),
		seen("every timer is set after the kill, s", set.Seconds(), "")), err
}
