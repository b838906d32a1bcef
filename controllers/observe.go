package controllers

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/grants"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// observation is all the data that a decision depends on, at one instant.
type observation struct {
	// now is the time by WorkOS's clock. skew is how far that clock is ahead of the operator's.
	now   time.Time
	skew  time.Duration
	token *v1alpha1.PipesToken

	// template is nil if templateErr is not nil.
	template    *tokensecret.Template
	templateErr error

	environmentName types.NamespacedName
	// environment is nil if it does not exist.
	environment *v1alpha1.PipesEnvironment
	// client is the version of the environment's connection. It changes with the spec of the
	// environment and with the API key.
	client  uint64
	granted bool
	// epoch changes when attempts may be made that were held back because of the state of
	// WorkOS.
	epoch uint64

	// others is the lead that all PipesTokens of this slug have shown: how long before expiry
	// WorkOS returns the next token.
	others slugHabit

	secret tokensecret.Secret
	// unseen: the Secret is known only from our own write; the cache does not show it.
	unseen bool
	// recovered is when the API server last accepted a Secret of this namespace again after a
	// failure.
	recovered time.Time
	// standing is the finding of the last attempt. It is valid until the next attempt.
	standing finding
	attempt  attempt
}

func (r *PipesTokenReconciler) observe(ctx context.Context, token *v1alpha1.PipesToken) (observation, error) {
	seen := observation{token: token}
	if err := r.lookAtRights(ctx, &seen); err != nil {
		return observation{}, err
	}
	cached, err := r.lookAtSecret(ctx, &seen)
	if err != nil {
		return observation{}, err
	}
	if cached != nil {
		r.memory.shown(client.ObjectKeyFromObject(token), cached)
	}
	seen.others = r.habits.of(habitOf(seen))
	if recovered := r.unwritten.recoveredAt(token.Namespace); !recovered.IsZero() {
		seen.recovered = recovered.Add(seen.skew)
	}
	seen = seen.remembering(r.recall(seen))
	freed := r.memory.wasFreed(token)
	if seen.secret.State == tokensecret.Absent && readyOf(token.Status).Reason == v1alpha1.SecretConflictReason {
		// The cache shows only our own Secrets. A live read has to show whether the name is
		// still taken, at the interval of a slow poll.
		return r.lookAgain(ctx, seen, freed)
	}
	return seen, nil
}

// lookAtSecret observes the Secret from the cache, or from our last write if that is newer. It
// returns the metadata in the cache; nil if the cache has none.
func (r *PipesTokenReconciler) lookAtSecret(
	ctx context.Context, seen *observation,
) (*metav1.PartialObjectMetadata, error) {
	written := r.memory.lastWrite(seen.token)
	cached, err := r.cachedSecret(ctx, seen.token)
	if err != nil {
		return nil, err
	}
	known := newest(written, cached, seen.local())
	seen.unseen = cached == nil && known != nil
	seen.secret = tokensecret.Observe(known, seen.token, seen.template)
	return cached, nil
}

// lookAtRights observes the environment, the grant, the template and the clock. They decide
// whether the PipesToken may have a token, in which form, and when.
func (r *PipesTokenReconciler) lookAtRights(ctx context.Context, seen *observation) error {
	seen.environmentName = r.environmentOf(seen.token)
	r.lookAtClock(seen)
	seen.template, seen.templateErr = tokensecret.Compile(seen.token.Spec.SecretTemplate, r.AllowedSecretMetadata...)
	seen.granted = false
	var err error
	if seen.environment, err = r.environment(ctx, seen.environmentName); err != nil || seen.environment == nil {
		return err
	}
	seen.client, seen.epoch = r.Connections.versionOf(seen.environmentName), r.Connections.epochOf(seen.environmentName)
	seen.granted, err = r.granted(ctx, seen.environment, seen.token)
	return err
}

// environment returns nil if the PipesEnvironment does not exist, or if the operator does not
// watch its namespace.
func (r *PipesTokenReconciler) environment(
	ctx context.Context, name types.NamespacedName,
) (*v1alpha1.PipesEnvironment, error) {
	if name.Name == "" || r.WatchNamespaces.Len() > 0 && !r.WatchNamespaces.Has(name.Namespace) {
		return nil, nil
	}
	environment := &v1alpha1.PipesEnvironment{}
	if err := r.Client.Get(ctx, name, environment); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading PipesEnvironment %s: %w", name, err)
	}
	return environment, nil
}

func (r *PipesTokenReconciler) granted(
	ctx context.Context, environment *v1alpha1.PipesEnvironment, token *v1alpha1.PipesToken,
) (bool, error) {
	claim := grants.Claim{
		Namespace: token.Namespace, Slug: token.Spec.Slug,
		UserID: token.Spec.UserID, OrganizationID: token.Spec.OrganizationID,
	}
	if grants.SelectsByLabel(environment) && !r.IgnoreNamespaceLabels {
		namespace := namespaceMetadata()
		if err := r.Client.Get(ctx, client.ObjectKey{Name: token.Namespace}, namespace); err != nil {
			return false, fmt.Errorf("reading the labels of namespace %s: %w", token.Namespace, err)
		}
		claim.NamespaceLabels = namespace.Labels
	}
	return grants.Allowed(environment, claim), nil
}

// cachedSecret returns the metadata of the Secret from the cache; nil if the cache has none.
func (r *PipesTokenReconciler) cachedSecret(
	ctx context.Context, token *v1alpha1.PipesToken,
) (*metav1.PartialObjectMetadata, error) {
	cached := secretMetadata()
	err := r.Client.Get(ctx, secretName(token), cached)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the metadata of Secret %s: %w", token.TargetSecretName(), err)
	}
	return cached, nil
}

func (r *PipesTokenReconciler) lookAgain(ctx context.Context, seen observation, freed bool) (observation, error) {
	if seen.now.Before(seen.attempt.notBefore) && !freed && !seen.refreshRequested() {
		seen.secret = tokensecret.Secret{State: tokensecret.Foreign}
		return seen, nil
	}
	found, err := r.Secrets.Find(ctx, secretName(seen.token))
	if err != nil {
		return observation{},
			fmt.Errorf("looking whether Secret %s still belongs to somebody else: %w", seen.token.TargetSecretName(), err)
	}
	seen.secret = tokensecret.Observe(found, seen.token, seen.template)
	seen.attempt.at, seen.attempt.notBefore = seen.now, time.Time{}
	return seen, nil
}

// recall returns the memory of the last attempt. A process that has just started remembers
// nothing. It then takes the last attempt of the previous leader from the status, and counts it
// as made now. This way a restart costs no call.
func (r *PipesTokenReconciler) recall(seen observation) attempt {
	if known, ok := r.memory.attempt(seen.token); ok {
		return seen.inTurn(known.asOf(seen.now))
	}
	began := r.memory.began(seen.local()).Add(seen.skew)
	seed, since := string(seen.token.UID), troubleSince(seen.token.Status.Conditions, seen.local()).Add(seen.skew)
	assumed := attempt{
		noted:      seen.now,
		client:     seen.client,
		found:      foundBefore(seen.token),
		fromStatus: true,
		habit:      writtenHabit(seen.secret.Facts),
	}
	switch {
	case assumed.found.present() && traits[assumed.found.reason].pace == backOff:
		assumed.at, assumed.notBefore = since, seen.now.Add(renewal.Backoff(1, seed))
	case assumed.found.present() || readyOf(seen.token.Status).Reason == v1alpha1.SecretConflictReason:
		assumed.taken = !assumed.found.present()
		assumed.at, assumed.notBefore = since, seen.now.Add(renewal.SlowPoll(seen.now, since))
	case seen.secret.State == tokensecret.Intact && seen.secret.Facts.ExpiresAt.IsZero():
		assumed.at = seen.now
	case seen.secret.HoldsValidToken(seen.now) && !seen.now.Before(seen.nextDue()):
		assumed.inherited = true
		assumed.renewNotBefore = renewal.CatchUp(seen.now, began, seen.nextDue(), seen.secret.Facts.ExpiresAt)
	}
	r.memory.remember(seen.token, assumed)
	r.habits.inherit(seen)
	return seen.inTurn(assumed)
}

// backlog is how late renewals may be while a process is running. The number is from a
// measurement: an API server at its limit has made renewals 9 seconds late.
const backlog = 10 * time.Second

// inTurn returns the last attempt as it counts now. It concerns a renewal that was already due
// when this process started, and whose turn has come. If another token of the slug was obtained
// more than backlog after this renewal fell due, the renewal did not only wait in the backlog:
// the previous leader has asked for it without success. The next attempt then waits until WorkOS
// is known to return the next token.
func (seen observation) inTurn(last attempt) attempt {
	if !last.inherited || seen.now.Before(last.renewNotBefore) {
		return last
	}
	last.inherited = false
	if seen.nextDue().Add(backlog).Before(seen.others.lastObtained) {
		last.renewNotBefore = renewal.InheritedProbe(renewalToken(seen), seen.now, last.habit, seen.others.Habit)
	}
	return last
}

// remembering adds the last attempt to the observation, as far as it is still valid.
func (seen observation) remembering(last attempt) observation {
	seen.attempt = last
	if seen.isStale() {
		seen.attempt.found, seen.attempt.connected = finding{}, connectedByToken
	}
	if !seen.doubtful() {
		seen.standing = seen.attempt.found
	}
	return seen
}

// isStale reports whether the Secret holds a token that was obtained after the last attempt.
// Then another replica has received a later answer, or a status was not written, and the finding
// of that attempt is stale. Both times are known only to the second. If they are equal, a
// finding that withdraws the token counts as stale too, because no token is taken away in case
// of doubt.
func (seen observation) isStale() bool {
	obtained, tried := seen.secret.Facts.ObtainedAt, inSeconds(seen.attempt.at)
	if seen.secret.State != tokensecret.Intact || !seen.attempt.found.present() {
		return false
	}
	// A write whose response was lost may have succeeded.
	arrived := seen.attempt.leftHash != "" && seen.attempt.leftHash != seen.secret.Facts.TokenHash
	return arrived || obtained.After(tried) || obtained.Equal(tried) && traits[seen.attempt.found.reason].withdraws
}

// doubtful reports whether only a status says that the token in the Secret has to be removed.
// Somebody may have forged the status, or restored the Secret. A status alone removes no token:
// WorkOS has to confirm it.
func (seen observation) doubtful() bool {
	mayHold := seen.secret.HoldsValidToken(seen.now) || seen.secret.State == tokensecret.Altered
	return seen.attempt.fromStatus && seen.withdraws(seen.attempt.found) && mayHold &&
		seen.token.Spec.InactivePolicy != v1alpha1.InactivePolicyRetain
}

// foundBefore reads the finding of the last attempt from the status.
func foundBefore(token *v1alpha1.PipesToken) finding {
	told := trouble(token.Status.Conditions)
	if told == nil || !traits[told.Reason].asked {
		return finding{}
	}
	return finding{reason: told.Reason, message: told.Message}
}

// trouble returns the condition that reports a problem; nil if none does.
func trouble(conditions []metav1.Condition) *metav1.Condition {
	if failed := meta.FindStatusCondition(conditions, v1alpha1.RenewalFailedCondition); failed != nil {
		return failed
	}
	if ready := meta.FindStatusCondition(conditions, v1alpha1.ReadyCondition); ready != nil &&
		ready.Status == metav1.ConditionFalse {
		return ready
	}
	return nil
}

// troubleSince returns since when the conditions have reported a problem; now if they report
// none.
func troubleSince(conditions []metav1.Condition, now time.Time) time.Time {
	if told := trouble(conditions); told != nil {
		return told.LastTransitionTime.Time
	}
	return now
}

func secretName(token *v1alpha1.PipesToken) types.NamespacedName {
	return types.NamespacedName{Namespace: token.Namespace, Name: token.TargetSecretName()}
}
