package fairqueue

import (
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// configured implements the part of a manager that the choice of a queue needs.
type configured struct {
	manager.Manager
	workers int
}

func (c configured) GetControllerOptions() config.Controller {
	return config.Controller{MaxConcurrentReconciles: c.workers}
}

func TestOneNamespaceHoldsHalfOfTheWorkersOfAController(t *testing.T) {
	for name, test := range map[string]struct {
		manager, options, want int
	}{
		"by the options":  {manager: 40, options: 20, want: 10},
		"by the manager":  {manager: 8, want: 4},
		"when left alone": {want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			options, err := ForController(configured{workers: test.manager}, "queue-test",
				controller.Options{MaxConcurrentReconciles: test.options})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				queue := options.NewQueue("queue-test", options.RateLimiter)
				defer queue.ShutDown()
				var running atomic.Int64
				for i := range 50 {
					queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "agents", Name: strconv.Itoa(i)}})
					go func() {
						if _, shutdown := queue.Get(); !shutdown {
							running.Add(1)
						}
					}()
				}
				synctest.Wait()
				if got := running.Load(); got != int64(test.want) {
					t.Errorf("one namespace holds %d workers, want %d", got, test.want)
				}
			})
		})
	}
}

func TestAControllerKeepsTheQueueThatItIsGiven(t *testing.T) {
	given := controller.Options{NewQueue: func(string, workqueue.TypedRateLimiter[reconcile.Request]) EventQueue { return nil }}
	options, err := ForController(configured{}, "queue-test", given)
	if err != nil || options.NewQueue("queue-test", nil) != nil {
		t.Errorf("the queue is another one (%v)", err)
	}
}
