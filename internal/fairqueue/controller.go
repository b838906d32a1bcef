package fairqueue

import (
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// MaxErrorBackoff is the longest delay before a failed reconcile is retried.
const MaxErrorBackoff = 30 * time.Second

// ForController returns options with a fair queue for the controller of that name, and with the
// back-off of failed reconciles, unless the options already contain them.
//
// An event or an error consumes the timer of an object, and a failed reconcile sets no new timer.
// Only the retry brings the object back, therefore MaxErrorBackoff limits how late an error can
// make a renewal. The maximum in controller-runtime is 17 minutes.
func ForController(mgr ctrl.Manager, name string, options controller.Options) (controller.Options, error) {
	if options.RateLimiter == nil {
		options.RateLimiter = workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
			50*time.Millisecond, MaxErrorBackoff)
	}
	if options.NewQueue != nil {
		return options, nil
	}
	told, err := NewMetrics(metrics.Registry, name)
	if err != nil {
		return options, err
	}
	workers := options.MaxConcurrentReconciles
	if workers <= 0 { // the same default as in controller-runtime
		workers = max(mgr.GetControllerOptions().MaxConcurrentReconciles, 1)
	}
	options.NewQueue = func(_ string, limiter workqueue.TypedRateLimiter[reconcile.Request]) EventQueue {
		return New(Options{Workers: workers, RateLimiter: limiter, Clock: clock.RealClock{}, Metrics: told})
	}
	return options, nil
}
