package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
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

// observation is everything that a decision depends on, at one instant.
type observation struct {
	now   time.Time
	token *v1alpha1.PipesToken

	// template is nil when templateErr is not.
	template    *tokensecret.Template
	templateErr error

	environmentName types.NamespacedName
	// environment is nil when there is none.
	environment *v1alpha1.PipesEnvironment
	// connection is the version of the environment's connection; it moves when the API key or the base URL does.
	connection uint64
	granted    bool

	secret tokensecret.Secret
	// standing is the finding of the last try, which stands until the next one.
	standing finding
	attempt  attempt
}

func (r *PipesTokenReconciler) observe(ctx context.Context, token *v1alpha1.PipesToken, now time.Time) (observation, error) {
	seen := observation{now: now, token: token, environmentName: r.environmentOf(token), standing: standing(token)}
	seen.template, seen.templateErr = tokensecret.Compile(token.Spec.SecretTemplate)

	var err error
	if seen.environment, err = r.environment(ctx, seen.environmentName); err != nil {
		return observation{}, err
	}
	if seen.environment != nil {
		seen.connection = r.Connections.versionOf(seen.environmentName)
		if seen.granted, err = r.granted(ctx, seen.environment, token); err != nil {
			return observation{}, err
		}
	}

	cached, err := r.cachedSecret(ctx, token, now)
	if err != nil {
		return observation{}, err
	}
	seen.secret = tokensecret.Observe(cached, token, seen.template)
	seen.attempt = r.recall(seen)
	if cached == nil && readyReason(token) == v1alpha1.SecretConflictReason {
		// Only our own Secrets are cached. Whether the name is still taken takes a look, at the pace of a slow poll.
		return r.lookAgain(ctx, seen)
	}
	return seen, nil
}

// environment returns nil when there is no such PipesEnvironment, or none that the operator can see.
func (r *PipesTokenReconciler) environment(ctx context.Context, name types.NamespacedName) (*v1alpha1.PipesEnvironment, error) {
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

func (r *PipesTokenReconciler) granted(ctx context.Context, environment *v1alpha1.PipesEnvironment, token *v1alpha1.PipesToken) (bool, error) {
	claim := grants.Claim{
		Namespace: token.Namespace, Slug: token.Spec.Slug,
		UserID: token.Spec.UserID, OrganizationID: token.Spec.OrganizationID,
	}
	if grants.SelectsByLabel(environment) && !r.IgnoreNamespaceLabels {
		namespace := &metav1.PartialObjectMetadata{}
		namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
		if err := r.Client.Get(ctx, client.ObjectKey{Name: token.Namespace}, namespace); err != nil {
			return false, fmt.Errorf("reading the labels of namespace %s: %w", token.Namespace, err)
		}
		claim.NamespaceLabels = namespace.Labels
	}
	return grants.Allowed(environment, claim), nil
}

// cachedSecret returns the metadata of the Secret from the cache, or from our own last write when the cache lags behind it.
func (r *PipesTokenReconciler) cachedSecret(ctx context.Context, token *v1alpha1.PipesToken, now time.Time) (*metav1.PartialObjectMetadata, error) {
	cached := &metav1.PartialObjectMetadata{}
	cached.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	err := r.Client.Get(ctx, secretName(token), cached)
	if apierrors.IsNotFound(err) {
		cached, err = nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the metadata of Secret %s: %w", token.TargetSecretName(), err)
	}
	return r.memory.newest(token, cached, now), nil
}

func (r *PipesTokenReconciler) lookAgain(ctx context.Context, seen observation) (observation, error) {
	if seen.now.Before(seen.attempt.notBefore) {
		seen.secret = tokensecret.Secret{State: tokensecret.Foreign}
		return seen, nil
	}
	found, err := r.Secrets.Find(ctx, secretName(seen.token))
	if err != nil {
		return observation{}, fmt.Errorf("looking whether Secret %s still belongs to somebody else: %w", seen.token.TargetSecretName(), err)
	}
	seen.secret = tokensecret.Observe(found, seen.token, seen.template)
	seen.attempt = attempt{at: seen.now, connection: seen.attempt.connection}
	return seen, nil
}

// recall returns what is remembered of the last try. A process that has just started remembers nothing; so that its start
// costs no call, it takes tries that its predecessor has made as made now.
func (r *PipesTokenReconciler) recall(seen observation) attempt {
	if known, ok := r.memory.attempt(seen.token); ok {
		return known
	}
	assumed := attempt{connection: seen.connection}
	switch tried := readyReason(seen.token) == v1alpha1.SecretConflictReason || seen.standing.present(); {
	case tried && traits[seen.standing.reason].pace == backOff:
		assumed.notBefore = seen.now.Add(renewal.Backoff(1, string(seen.token.UID)))
	case tried:
		assumed.notBefore = seen.now.Add(renewal.SlowPoll(seen.now, troubleSince(seen.token.Status.Conditions, seen.now)))
	case seen.secret.State == tokensecret.Intact && seen.secret.Facts.ExpiresAt.IsZero():
		assumed.at = seen.now
	}
	r.memory.remember(seen.token, assumed)
	return assumed
}

// standing reads the finding of the last try back from the status.
func standing(token *v1alpha1.PipesToken) finding {
	condition := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.RenewalFailedCondition)
	if condition == nil {
		condition = meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ReadyCondition)
	}
	if condition == nil || !traits[condition.Reason].asked {
		return finding{}
	}
	return finding{reason: condition.Reason, message: condition.Message}
}

func readyReason(token *v1alpha1.PipesToken) string {
	if ready := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ReadyCondition); ready != nil {
		return ready.Reason
	}
	return ""
}

// troubleSince is when the conditions turned to the worse; now when they have not.
func troubleSince(conditions []metav1.Condition, now time.Time) time.Time {
	if failed := meta.FindStatusCondition(conditions, v1alpha1.RenewalFailedCondition); failed != nil {
		return failed.LastTransitionTime.Time
	}
	if ready := meta.FindStatusCondition(conditions, v1alpha1.ReadyCondition); ready != nil && ready.Status == metav1.ConditionFalse {
		return ready.LastTransitionTime.Time
	}
	return now
}

func secretName(token *v1alpha1.PipesToken) types.NamespacedName {
	return types.NamespacedName{Namespace: token.Namespace, Name: token.TargetSecretName()}
}
