package pipestoken

import (
	"cmp"
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/connection"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// An attempt can be held back by an open circuit, by a gate, or because the answer takes long.
// The PipesToken then does not have to wait for its timer: the answer that releases the attempt
// requeues it at once.

// releasedMeanwhile reports whether an attempt that was held back may be made now. A release
// that happened before the attempt was remembered has not requeued the PipesToken.
func (r *Reconciler) releasedMeanwhile(environment types.NamespacedName, next attempt) bool {
	return next.basis.epoch != 0 && next.basis.epoch != r.Connections.Epoch(environment)
}

// heldBackFor returns the PipesTokens of an environment that were held back. The nearest expiry
// comes first, and PipesTokens that have had no token come last. If of has only a slug, it
// stands for all connections of the slug. If of is empty, it stands for the whole environment.
func (r *Reconciler) heldBackFor(
	ctx context.Context, environment types.NamespacedName, of workos.Request,
) []*v1alpha1.PipesToken {
	tokens := &v1alpha1.PipesTokenList{}
	if err := r.Client.List(ctx, tokens, client.MatchingFields{connection.UsersIndex: environment.String()},
		client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		log.FromContext(ctx).Error(err, "Cannot list PipesTokens, so those that were held back may wait for longer")
		return nil
	}
	var held []*v1alpha1.PipesToken
	for i := range tokens.Items {
		if token := &tokens.Items[i]; concerns(of, token) && r.memory.isHeld(token) {
			held = append(held, token)
		}
	}
	slices.SortStableFunc(held, func(a, b *v1alpha1.PipesToken) int {
		return cmp.Compare(expiryOrder(a), expiryOrder(b))
	})
	return held
}

// concerns reports whether a PipesToken is among the PipesTokens that of stands for.
func concerns(of workos.Request, token *v1alpha1.PipesToken) bool {
	if of.UserID != "" {
		return of == requestOf(token.Spec)
	}
	return of.Slug == "" || of.Slug == token.Spec.Slug
}

// expiryOrder returns a number that orders PipesTokens by the expiry of their tokens.
// PipesTokens without an expiry come last.
func expiryOrder(token *v1alpha1.PipesToken) int64 {
	const last = 1 << 62
	if token.Status.ExpirationTime == nil {
		return last
	}
	return token.Status.ExpirationTime.Unix()
}

// isHeld reports whether the last attempt for a PipesToken was held back.
func (m *memory) isHeld(token *v1alpha1.PipesToken) bool {
	known, ok := m.attempt(token)
	return ok && known.basis.epoch != 0
}
