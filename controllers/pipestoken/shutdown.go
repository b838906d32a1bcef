package pipestoken

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// detachFromShutdown lets a running reconcile finish on SIGTERM. Otherwise a token that was fetched
// but not written is lost, and the next leader must fetch it again. A reconcile keeps its deadline.
// The manager waits up to 30 seconds for running reconciles, and holds its Lease until then. It
// does not wait if it has lost the Lease.
func detachFromShutdown(next reconcile.Reconciler) reconcile.Reconciler {
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
