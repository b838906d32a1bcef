package main

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	v1alpha1ac "github.com/pipes-operator/pipes-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// secretOf returns the Secret as the operator creates it, except for the hash of the template,
// which is a constant.
func secretOf(token *v1alpha1.PipesToken, a answer) *corev1.Secret {
	value := redact.NewString(a.AccessToken.AccessToken)
	expires := a.AccessToken.ExpiresAt.UTC().Truncate(time.Second)
	return tokensecret.New(token, tokensecret.Content{
		Facts: tokensecret.Facts{
			ExpiresAt: expires, ObtainedAt: time.Now().UTC().Truncate(time.Second), TemplateHash: "0123456789abcdef",
			TokenHash: tokensecret.HashToken(string(token.UID), value),
			Scopes:    a.AccessToken.Scopes, MissingScopes: a.AccessToken.MissingScopes,
		},
		Data: map[string][]byte{
			tokensecret.AccessTokenKey: []byte(value.Reveal()),
			tokensecret.ExpiresAtKey:   []byte(expires.Format(time.RFC3339)),
			tokensecret.ScopesKey:      []byte(strings.Join(a.AccessToken.Scopes, " ")),
		},
	})
}

// clearedOf returns the Secret as the operator leaves it without a grant.
func clearedOf(token *v1alpha1.PipesToken) *corev1.Secret {
	secret := tokensecret.New(token, tokensecret.Content{Data: map[string][]byte{}})
	secret.Annotations = map[string]string{}
	return secret
}

// statusOf returns the status as the operator applies it.
func statusOf(token *v1alpha1.PipesToken, a answer) *v1alpha1ac.PipesTokenApplyConfiguration {
	now := metav1.NewTime(time.Now().UTC().Truncate(time.Second))
	expires := a.AccessToken.ExpiresAt.UTC().Truncate(time.Second)
	return applied(token, v1alpha1ac.PipesTokenStatus().WithConditions(
		condition(token, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.TokenSyncedReason, readyMessage(token)),
		condition(token, v1alpha1.ConnectedCondition, metav1.ConditionTrue, v1alpha1.ConnectedReason,
			"WorkOS returned a token for this user"),
		condition(token, v1alpha1.ScopesGrantedCondition, metav1.ConditionTrue, v1alpha1.AllScopesGrantedReason,
			"The user has granted every scope that the integration asks for"),
	).WithScopes(a.AccessToken.Scopes...).WithMissingScopes(a.AccessToken.MissingScopes...).
		WithExpirationTime(metav1.NewTime(expires)).
		WithRenewalTime(metav1.NewTime(now.Add(expires.Sub(now.Time)*4/5).Truncate(time.Second))).
		WithLastRefreshTime(now))
}

// withdrawnStatusOf returns the status without a grant.
func withdrawnStatusOf(token *v1alpha1.PipesToken) *v1alpha1ac.PipesTokenApplyConfiguration {
	const message = "No grant of the PipesEnvironment allows this, and so the token has been taken out of the Secret"
	return applied(token, v1alpha1ac.PipesTokenStatus().WithConditions(
		condition(token, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.NotGrantedReason, message),
		condition(token, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.NotGrantedReason, message),
		condition(token, v1alpha1.ConnectedCondition, metav1.ConditionTrue, v1alpha1.ConnectedReason,
			"WorkOS returned a token for this user"),
	))
}

func applied(
	token *v1alpha1.PipesToken, status *v1alpha1ac.PipesTokenStatusApplyConfiguration,
) *v1alpha1ac.PipesTokenApplyConfiguration {
	status.WithObservedGeneration(token.Generation).
		WithBinding(v1alpha1ac.SecretReference().WithName(token.TargetSecretName()))
	return v1alpha1ac.PipesToken(token.Name, token.Namespace).
		WithUID(token.UID).WithResourceVersion(token.ResourceVersion).WithStatus(status)
}

func condition(
	token *v1alpha1.PipesToken, kind string, status metav1.ConditionStatus, reason, message string,
) *metav1ac.ConditionApplyConfiguration {
	return metav1ac.Condition().WithType(kind).WithStatus(status).WithReason(reason).WithMessage(message).
		WithObservedGeneration(token.Generation).
		WithLastTransitionTime(metav1.NewTime(time.Now().UTC().Truncate(time.Second)))
}

func readyMessage(token *v1alpha1.PipesToken) string {
	return fmt.Sprintf("Secret %q holds a valid token", token.TargetSecretName())
}
