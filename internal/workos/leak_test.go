package workos_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the run when a goroutine is left over. A call for which no caller waits any
// more must end, and a client must run nothing on its own. The tests close the connections that
// their transports keep for the next call.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}
