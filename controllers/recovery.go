package controllers

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// An attempt can be held back by an open circuit, by a gate, or because the answer takes long.
// The PipesToken then does not have to wait for its timer: the answer that releases the attempt
// requeues it at once.

// patienceNote returns the part of a message that says until when WorkOS has asked to wait.
// Empty: WorkOS has not asked for a long wait. The text stays the same during the wait, so that
// the wait costs one write of the status.
func patienceNote(until time.Time) string {
	if until.IsZero() {
		return ""
	}
	return patienceMark + instant(until) + ")"
}

const patienceMark = " (not before "

// patienceIn returns the patienceNote in a message.
func patienceIn(message string) string {
	_, after, found := strings.Cut(message, patienceMark)
	if !found {
		return ""
	}
	until, _, _ := strings.Cut(after, ")")
	return patienceMark + until + ")"
}

// instant formats a time for a message.
func instant(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// paced reports whether the answer determines the time of the next attempt, in place of a
// back-off. That is the case if nothing was sent, or if the integration counts as down: then
// each connection has its own time to probe.
func (done outcome) paced() bool {
	unsent := done.answer.Outcome != "" && !done.answer.Sent
	return done.answer.Down || unsent && traits[done.finding.reason].pace == backOff
}

// heldSince returns the epoch of the answer that has held the attempt back; zero if none has.
func (done outcome) heldSince() uint64 {
	if done.answer.Sent && !done.answer.Down {
		return 0
	}
	return done.answer.Epoch
}

// isReleased reports whether the last attempt was held back and the next attempt need not wait
// any longer.
func (seen observation) isReleased() bool {
	return seen.attempt.heldSince != 0 && seen.attempt.heldSince != seen.epoch
}

// releasedMeanwhile reports whether an attempt that was held back may be made now. A release
// that happened before the attempt was remembered has not requeued the PipesToken.
func (r *PipesTokenReconciler) releasedMeanwhile(done outcome) bool {
	return done.attempt.heldSince != 0 && done.attempt.heldSince != r.Connections.epochOf(done.environmentName)
}

// heldBackFor returns the PipesTokens of an environment that were held back. The nearest expiry
// comes first, and PipesTokens that have had no token come last. If of has only a slug, it
// stands for all connections of the slug. If of is empty, it stands for the whole environment.
func (r *PipesTokenReconciler) heldBackFor(
	ctx context.Context, environment types.NamespacedName, of workos.Request,
) []*v1alpha1.PipesToken {
	tokens := &v1alpha1.PipesTokenList{}
	if err := r.Client.List(ctx, tokens, client.MatchingFields{environmentIndex: environment.String()},
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
	spec := token.Spec
	if of.UserID != "" && (of.UserID != spec.UserID || of.OrganizationID != spec.OrganizationID) {
		return false
	}
	return of.Slug == "" || of.Slug == spec.Slug
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
	return ok && known.heldSince != 0
}

// epochOf returns the epoch of the environment's client. It changes when attempts that were held
// back may be made. Zero: the environment has no client.
func (c *Connections) epochOf(name types.NamespacedName) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state, ok := c.known[name]; ok && state.client != nil {
		return state.client.Epoch()
	}
	return 0
}

// onRecovery registers a function that is called when attempts that were held back may be made.
// of says which PipesTokens of the environment it concerns, see heldBackFor.
func (c *Connections) onRecovery(recovered func(environment types.NamespacedName, of workos.Request)) {
	c.Upstream.OnRecovery(func(owner string, of workos.Request) {
		namespace, name, _ := strings.Cut(owner, "/")
		recovered(types.NamespacedName{Namespace: namespace, Name: name}, of)
	})
}
