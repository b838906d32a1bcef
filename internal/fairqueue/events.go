package fairqueue

import (
	"context"
	"sync/atomic"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// EventQueue is the queue of a controller, as event handlers see it.
type EventQueue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// AddWith returns an Add function that uses a priority, if the queue has priorities.
func AddWith(queue EventQueue, priority int) func(reconcile.Request) {
	prioritized, ok := queue.(priorityqueue.PriorityQueue[reconcile.Request])
	if !ok {
		return queue.Add
	}
	return func(request reconcile.Request) {
		prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, request)
	}
}

// Prompt is a source of reconciles that this process requests itself, because no object changes.
// It drops requests until the controller that watches it has started. No request is lost: after
// the start every object is reconciled anyway.
type Prompt struct {
	queue atomic.Pointer[EventQueue]
}

var _ source.Source = &Prompt{}

// Start is called by the controller before it starts its workers.
func (p *Prompt) Start(_ context.Context, queue EventQueue) error {
	p.queue.Store(&queue)
	return nil
}

// Add requests reconciles.
func (p *Prompt) Add(requests ...reconcile.Request) {
	for _, request := range requests {
		p.AddWith(Ordinary, request)
	}
}

// AddWith requests a reconcile with a priority.
func (p *Prompt) AddWith(priority int, request reconcile.Request) {
	if queue := p.queue.Load(); queue != nil {
		AddWith(*queue, priority)(request)
	}
}

// Withdrawing wraps next for events that may take a right away. The requests that next adds get
// the highest priority. A priority that next sets itself stays: next sets a priority for all
// objects that exist when the process starts.
func Withdrawing(next handler.EventHandler) handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, queue EventQueue) {
			next.Create(ctx, e, asWithdrawals(queue))
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, queue EventQueue) {
			next.Update(ctx, e, asWithdrawals(queue))
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, queue EventQueue) {
			next.Delete(ctx, e, asWithdrawals(queue))
		},
		GenericFunc: func(ctx context.Context, e event.GenericEvent, queue EventQueue) {
			next.Generic(ctx, e, asWithdrawals(queue))
		},
	}
}

func asWithdrawals(queue EventQueue) EventQueue {
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
	AddWith(q.PriorityQueue, Withdrawal)(request)
}
