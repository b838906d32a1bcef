package pipestoken

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/compact"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/grants"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// observation is all the data that a decision depends on, at one instant. Nothing changes it
// afterwards.
type observation struct {
	// now is the time by WorkOS's clock. skew is how far that clock is ahead of the operator's.
	now   time.Time
	skew  time.Duration
	token *v1alpha1.PipesToken
	// template is nil if templateErr is not nil.
	template    *tokensecret.Template
	templateErr error
	origin      origin
	secret      tokensecret.Secret
	// unseen: the Secret is known only from our own write; the cache does not show it.
	unseen bool
	// recovered is when the API server last accepted a Secret of this namespace again after a
	// failure.
	recovered time.Time
	// hinted is when an event of WorkOS came for which no call was made yet. Zero: none came.
	hinted time.Time
	// polls says how often to ask while a person has to act.
	polls polls
	// last is the last attempt, and standing is its finding, as far as it still counts.
	last     attempt
	standing finding.Finding
	// slug is the lead that all PipesTokens of this slug have shown.
	slug slugLead
}

// origin is the PipesEnvironment that the token comes from.
type origin struct {
	name types.NamespacedName
	// environment is nil if it does not exist.
	environment *v1alpha1.PipesEnvironment
	// granted: a grant of the environment allows the PipesToken.
	granted bool
	// mismatches are the labels of the namespace that may be the reason why no grant allows it.
	mismatches []grants.Mismatch
	// connection is the version of the environment's connection. It changes with the spec of the
	// environment and with the API key.
	connection uint64
	// epoch changes when attempts may be made that were held back because of the state of
	// WorkOS.
	epoch uint64
}

func (r *Reconciler) observe(ctx context.Context, token *v1alpha1.PipesToken) (observation, error) {
	seen := observation{token: token}
	if err := r.observeRights(ctx, &seen); err != nil {
		return observation{}, err
	}
	cached, err := r.observeSecret(ctx, &seen)
	if err != nil {
		return observation{}, err
	}
	if cached != nil {
		r.memory.shown(client.ObjectKeyFromObject(token), cached)
	}
	seen.slug = r.leads.of(leadKeyOf(seen))
	if recovered := r.unwritten.recoveredAt(token.Namespace); !recovered.IsZero() {
		seen.recovered = recovered.Add(seen.skew)
	}
	seen.hinted = r.memory.hinted(client.ObjectKeyFromObject(token))
	seen = seen.remembering(r.recall(seen))
	seen.polls = r.pollsOf(seen)
	freed := r.memory.wasFreed(token)
	if seen.secret.State == tokensecret.Absent && seen.toldTaken() {
		// The cache shows only our own Secrets. A live read has to show whether the name is
		// still taken, at the interval of a slow poll.
		return r.checkName(ctx, seen, freed)
	}
	return seen, nil
}

// observeSecret observes the Secret from the cache, or from our last write if that is newer. It
// returns the metadata in the cache; nil if the cache has none.
func (r *Reconciler) observeSecret(
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

// observeRights observes the environment, the grant, the template and the clock. They decide
// whether the PipesToken may have a token, in which form, and when.
func (r *Reconciler) observeRights(ctx context.Context, seen *observation) error {
	r.observeClock(seen)
	seen.template, seen.templateErr = tokensecret.Compile(seen.token.Spec, r.AllowedSecretMetadata...)
	name := r.environmentOf(seen.token)
	environment, err := r.environment(ctx, name)
	seen.origin = origin{name: name, environment: environment}
	if err != nil || environment == nil {
		return err
	}
	seen.origin.connection, seen.origin.epoch = r.Connections.Version(name), r.Connections.Epoch(name)
	claim, err := r.claim(ctx, environment, seen.token)
	if err != nil {
		return err
	}
	if seen.origin.granted = grants.Allowed(environment, claim); !seen.origin.granted {
		seen.origin.mismatches = grants.Mismatches(environment, claim)
	}
	return nil
}

// environment returns nil if the PipesEnvironment does not exist, or if the operator does not
// watch its namespace.
func (r *Reconciler) environment(
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

// claim returns the request of the PipesToken, as the grants of the environment judge it.
func (r *Reconciler) claim(
	ctx context.Context, environment *v1alpha1.PipesEnvironment, token *v1alpha1.PipesToken,
) (grants.Claim, error) {
	claim := grants.Claim{
		Namespace: token.Namespace, Slug: token.Spec.Slug, UserID: token.Spec.UserID,
		OrganizationID: token.Spec.OrganizationID, Owner: token.Spec.ConnectionOwner,
	}
	if grants.DependsOnLabels(environment) && !r.IgnoreNamespaceLabels {
		namespace := compact.Namespace()
		if err := r.Client.Get(ctx, client.ObjectKey{Name: token.Namespace}, namespace); err != nil {
			return claim, fmt.Errorf("reading the labels of namespace %s: %w", token.Namespace, err)
		}
		claim.NamespaceLabels = namespace.Labels
	}
	return claim, nil
}

// cachedSecret returns the metadata of the Secret from the cache; nil if the cache has none.
func (r *Reconciler) cachedSecret(
	ctx context.Context, token *v1alpha1.PipesToken,
) (*metav1.PartialObjectMetadata, error) {
	cached := compact.Secret()
	err := r.Client.Get(ctx, secretName(token), cached)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the metadata of Secret %s: %w", token.TargetSecretName(), err)
	}
	return cached, nil
}

func (r *Reconciler) checkName(ctx context.Context, seen observation, freed bool) (observation, error) {
	if seen.now.Before(seen.last.schedule.notBefore) && !freed && !seen.refreshRequested() {
		seen.secret = tokensecret.Secret{State: tokensecret.Foreign}
		return seen, nil
	}
	found, err := r.Secrets.Find(ctx, secretName(seen.token))
	if err != nil {
		return observation{},
			fmt.Errorf("looking whether Secret %s still belongs to somebody else: %w", seen.token.TargetSecretName(), err)
	}
	seen.secret = tokensecret.Observe(found, seen.token, seen.template)
	seen.last.schedule.at, seen.last.schedule.notBefore = seen.now, time.Time{}
	return seen, nil
}

// recall returns the last attempt. A process that has just started remembers none, and takes it
// from the status.
func (r *Reconciler) recall(seen observation) attempt {
	if known, ok := r.memory.attempt(seen.token); ok {
		known.schedule = known.schedule.asOf(seen.now)
		return seen.inTurn(known)
	}
	last := attemptFromStatus(seen, r.memory.began(seen.local()).Add(seen.skew))
	r.memory.remember(seen.token, last)
	r.leads.inherit(seen)
	return seen.inTurn(last)
}

func secretName(token *v1alpha1.PipesToken) types.NamespacedName {
	return types.NamespacedName{Namespace: token.Namespace, Name: token.TargetSecretName()}
}
