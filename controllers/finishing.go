package controllers

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// finishing has a pass that is under way come to its end when the process is told to end: a token that WorkOS has handed out and that is
// not written would have to be asked for once more by whoever comes next. A pass keeps its deadline; the manager waits for passes for 30
// seconds, and holds its Lease until then. It waits for none when it has lost the Lease.
func finishing(next reconcile.Reconciler) reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
		pass := context.WithoutCancel(ctx)
		if deadline, set := ctx.Deadline(); set {
			var cancel context.CancelFunc
			pass, cancel = context.WithDeadline(pass, deadline)
			defer cancel()
		}
		return next.Reconcile(pass, request)
	})
}
