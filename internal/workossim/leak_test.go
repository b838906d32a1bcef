package workossim_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the run if a goroutine is left over. A simulator that is closed must release
// every request that it was told to hold, delay or cut.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}
