package workossim_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the run when a goroutine is left over: a simulator that is closed lets go of every request that it was told to
// hold, delay or cut.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}
