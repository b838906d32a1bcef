package controllers

import (
	"context"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
)

// eventQueue is the queue of a controller, as event handlers see it.
type eventQueue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// withFairQueue gives the controller with that name a queue that is fair to namespaces, unless
// the options already contain a queue.
func withFairQueue(mgr ctrl.Manager, name string, options controller.Options) (controller.Options, error) {
	if options.NewQueue != nil {
		return options, nil
	}
	told, err := fairqueue.NewMetrics(metrics.Registry, name)
	if err != nil {
		return options, err
	}
	workers := options.MaxConcurrentReconciles
	if workers <= 0 { // the same default as in controller-runtime
		workers = max(mgr.GetControllerOptions().MaxConcurrentReconciles, 1)
	}
	options.NewQueue = func(_ string, limiter workqueue.TypedRateLimiter[reconcile.Request]) eventQueue {
		return fairqueue.New(fairqueue.Options{
			Workers: workers, RateLimiter: limiter, Clock: clock.RealClock{}, Metrics: told,
		})
	}
	return options, nil
}

// urgency returns the priority of the next reconcile. The deadline of a valid token is its
// expiry: until then the token must be renewed, or the status must report the expiry. Nothing
// else has a deadline.
func urgency(done outcome) int {
	if expires := done.expiry(); !expires.IsZero() {
		return fairqueue.Renewal(expires)
	}
	return fairqueue.Ordinary
}

// recoveryUrgency returns the priority of a PipesToken that no longer has to wait for WorkOS or
// for an API key. A PipesToken that has had a token has the priority of a renewal, by the expiry
// of that token.
func recoveryUrgency(token *v1alpha1.PipesToken) int {
	if token.Status.ExpirationTime == nil {
		return fairqueue.Ordinary
	}
	return fairqueue.Renewal(token.Status.ExpirationTime.Time)
}

// addWith returns an Add function that uses a priority, if the queue has priorities.
func addWith(queue eventQueue, priority int) func(reconcile.Request) {
	prioritized, ok := queue.(priorityqueue.PriorityQueue[reconcile.Request])
	if !ok {
		return queue.Add
	}
	return func(request reconcile.Request) {
		prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, request)
	}
}

// withdrawing wraps next for events that may take a right away. The requests that next adds get
// the highest priority. A priority that next sets itself stays: next sets a priority for all
// objects that exist when the process starts.
func withdrawing(next handler.EventHandler) handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, queue eventQueue) {
			next.Create(ctx, e, asWithdrawals(queue))
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, queue eventQueue) {
			next.Update(ctx, e, asWithdrawals(queue))
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, queue eventQueue) {
			next.Delete(ctx, e, asWithdrawals(queue))
		},
		GenericFunc: func(ctx context.Context, e event.GenericEvent, queue eventQueue) {
			next.Generic(ctx, e, asWithdrawals(queue))
		},
	}
}

func asWithdrawals(queue eventQueue) eventQueue {
	prioritized, ok := queue.(priorityqueue.PriorityQueue[reconcile.Request])
	if !ok {
		return queue
	}
	return withdrawalQueue{prioritized}
}

// withdrawalQueue adds requests with the priority of withdrawals.
type withdrawalQueue struct {
	priorityqueue.PriorityQueue[reconcile.Request]
}

func (q withdrawalQueue) Add(request reconcile.Request) {
	addWith(q.PriorityQueue, fairqueue.Withdrawal)(request)
}
