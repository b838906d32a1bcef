package controllers_test

import (
	"testing"

	"go.uber.org/goleak"
)

// notOurs are goroutines that others leave over. They die with the process.
var notOurs = []goleak.Option{
	// controller-runtime passes the events of a metadata-only watch through this. When a cache stops while an event is on its way,
	// nobody takes that event, and the goroutine waits for ever: one for each such watch, and only when an operator ends.
	goleak.IgnoreTopFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop"),
	// And through this it waits until the first events have been handled: for ever, when a cache stops before.
	goleak.IgnoreTopFunction("sigs.k8s.io/controller-runtime/pkg/cache.newMultiNamespaceInformerHandlerRegistration.func1"),
	// Ginkgo listens for Ctrl-C.
	goleak.IgnoreTopFunction("github.com/onsi/ginkgo/v2/internal/interrupt_handler.(*InterruptHandler).registerForInterrupts.func2"),
}

// TestMain fails the run when a goroutine is left over after all operators have been stopped: a controller, a watch or a timer
// that outlives its manager.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, notOurs...)
}
