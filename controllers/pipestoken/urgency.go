package pipestoken

import (
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
)

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

func requestFor(token *v1alpha1.PipesToken) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(token)}
}
