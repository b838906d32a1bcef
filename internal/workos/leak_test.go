package workos_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the run when a goroutine is left over: a call that nobody waits for any more has to end, and a client has
// nothing that runs on its own. Connections that a transport keeps for the next call are closed by the tests that made it.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}
