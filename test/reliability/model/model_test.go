//go:build reliability

// Package model_test runs the operator's real controllers through random sequences of everything that can happen to them, on a
// stand-in for the API server and the simulator of WorkOS, and looks after each step whether the invariants of the design hold.
package model_test

import (
	"testing"

	"pgregory.net/rapid"
)

// What an API key may be used for in a minute: less than some objects need, or enough for all.
const (
	scarce int32 = 6
	plenty int32 = 600
)

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, draw(t, "requests per minute", scarce, plenty))
		defer w.end()
		t.Repeat(w.actions())
		w.settle()
	})
}
