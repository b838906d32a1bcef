package controllers_test

import (
	"testing"

	"go.uber.org/goleak"
)

// notOurs are goroutines that libraries leave behind. They end with the process.
var notOurs = []goleak.Option{
	// controller-runtime passes the events of a metadata-only watch through this goroutine. If a
	// cache stops while an event is on its way, nothing receives the event, and the goroutine
	// waits forever. It happens at most once for each of these watches, and only when an operator
	// ends.
	goleak.IgnoreTopFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop"),
	// This goroutine waits until the first events have been handled: forever, if the cache stops
	// before.
	goleak.IgnoreTopFunction("sigs.k8s.io/controller-runtime/pkg/cache.newMultiNamespaceInformerHandlerRegistration.func1"),
	// Ginkgo listens for Ctrl-C.
	goleak.IgnoreTopFunction("github.com/onsi/ginkgo/v2/internal/interrupt_handler.(*InterruptHandler).registerForInterrupts.func2"),
}

// TestMain fails the run if a goroutine is left after all operators have been stopped: a
// controller, a watch or a timer that outlives its manager.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, notOurs...)
}
