//go:build reliability

package model_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// The liveness check fails after the queue has lost a timer. With the queue of controller-runtime
// this can happen: an event consumes a pending timer, and the reconcile for that event must set a
// new timer. The liveness check does not fail during an outage of WorkOS of a day.
func TestTheLivenessCheckNoticesALostTimerAndBearsAnOutage(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	key := types.NamespacedName{Namespace: "tenant-a", Name: "x"}
	w.user(key)
	w.workos.Inject(workossim.Fault{Kind: workossim.FaultServerError})
	o := w.operators[0]
	o.run(24 * time.Hour)
	w.check()
	if err := o.watchdog.Check(nil); err != nil {
		t.Fatalf("after an outage of a day, the liveness check says: %v", err)
	}
	delete(o.queues["pipestoken"].entries, reconcile.Request{NamespacedName: key})
	w.clock.SetTime(w.clock.Now().Add(ceiling + 6*time.Minute))
	if err := o.watchdog.Check(nil); err == nil || !strings.Contains(err.Error(), key.String()) {
		t.Fatalf("a timer has been lost, and the liveness check says: %v", err)
	}
}
