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

// A PipesToken whose attempt was held back (by an open circuit, by a gate, or because the answer
// took long) is not left to its timer: the answer that shows that it may go on has it reconciled at
// once.

// patienceNote says until when WorkOS has asked to be left alone; empty when that is soon over. It
// stays the same while that lasts, so that it costs one write of the status.
func patienceNote(until time.Time) string {
	if until.IsZero() {
		return ""
	}
	return patienceMark + instant(until) + ")"
}

const patienceMark = " (not before "

// patienceIn is the patienceNote of a message.
func patienceIn(message string) string {
	_, after, found := strings.Cut(message, patienceMark)
	if !found {
		return ""
	}
	until, _, _ := strings.Cut(after, ")")
	return patienceMark + until + ")"
}

// instant is how messages tell a time.
func instant(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// paced says whether the answer says when to make the next attempt, in place of a back-off: nothing
// was sent, or the integration counts as down, and each connection has its turn to find out.
func (done outcome) paced() bool {
	unsent := done.answer.Outcome != "" && !done.answer.Sent
	return done.answer.Down || unsent && traits[done.finding.reason].pace == backOff
}

// heldSince is the epoch of an answer that has held the attempt back; zero when none has.
func (done outcome) heldSince() uint64 {
	if done.answer.Sent && !done.answer.Down {
		return 0
	}
	return done.answer.Epoch
}

// isReleased says whether the last attempt was held back, and the next one need not wait any more.
func (seen observation) isReleased() bool {
	return seen.attempt.heldSince != 0 && seen.attempt.heldSince != seen.epoch
}

// releasedMeanwhile says whether an attempt that was held back may be made after all: whoever was
// called back before the attempt was remembered has missed it.
func (r *PipesTokenReconciler) releasedMeanwhile(done outcome) bool {
	return done.attempt.heldSince != 0 && done.attempt.heldSince != r.Connections.epochOf(done.environmentName)
}

// heldBackFor returns those PipesTokens of an environment that were held back, the nearest expiry
// first, and first tokens last. In of, the slug alone stands for all connections of it, and nothing
// at all for all of the environment.
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

// concerns says whether a PipesToken is one of those that a request stands for.
func concerns(of workos.Request, token *v1alpha1.PipesToken) bool {
	spec := token.Spec
	if of.UserID != "" && (of.UserID != spec.UserID || of.OrganizationID != spec.OrganizationID) {
		return false
	}
	return of.Slug == "" || of.Slug == spec.Slug
}

// expiryOrder orders PipesTokens by when their tokens expire; those without one come last.
func expiryOrder(token *v1alpha1.PipesToken) int64 {
	const last = 1 << 62
	if token.Status.ExpirationTime == nil {
		return last
	}
	return token.Status.ExpirationTime.Unix()
}

// isHeld says whether the last attempt for a PipesToken was held back.
func (m *memory) isHeld(token *v1alpha1.PipesToken) bool {
	known, ok := m.attempt(token)
	return ok && known.heldSince != 0
}

// epochOf is the epoch of the environment's client: it moves when attempts that were held back may
// be made. Zero: there is no client.
func (c *Connections) epochOf(name types.NamespacedName) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state, ok := c.known[name]; ok && state.client != nil {
		return state.client.Epoch()
	}
	return 0
}

// onRecovery has recovered called with the environment, and what of it can be asked for again.
func (c *Connections) onRecovery(recovered func(environment types.NamespacedName, of workos.Request)) {
	c.Upstream.OnRecovery(func(owner string, of workos.Request) {
		namespace, name, _ := strings.Cut(owner, "/")
		recovered(types.NamespacedName{Namespace: namespace, Name: name}, of)
	})
}
