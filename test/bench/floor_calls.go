package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	v1alpha1ac "github.com/pipes-operator/pipes-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// target is a PipesToken to process.
type target struct {
	token *v1alpha1.PipesToken
	// secretVersion is the resourceVersion of its Secret. It is empty if the Secret does not
	// exist yet.
	secretVersion string
}

// findTargets returns all PipesTokens, with the data that the writes need. This is preparation
// and is not measured.
func (f *floor) findTargets(ctx context.Context, config *rest.Config) ([]target, error) {
	api, err := client.New(config, client.Options{Scheme: harness.Scheme})
	if err != nil {
		return nil, err
	}
	versions := map[types.NamespacedName]string{}
	if f.phase != phaseCold {
		secrets := &metav1.PartialObjectMetadataList{}
		secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
		if err := api.List(ctx, secrets,
			client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue}); err != nil {
			return nil, fmt.Errorf("listing Secrets: %w", err)
		}
		for i := range secrets.Items {
			versions[client.ObjectKeyFromObject(&secrets.Items[i])] = secrets.Items[i].ResourceVersion
		}
	}
	tokens := &v1alpha1.PipesTokenList{}
	if err := api.List(ctx, tokens); err != nil {
		return nil, fmt.Errorf("listing PipesTokens: %w", err)
	}
	targets := make([]target, 0, len(tokens.Items))
	for i := range tokens.Items {
		token := &tokens.Items[i]
		token.ManagedFields = nil
		targets = append(targets, target{token: token, secretVersion: versions[client.ObjectKeyFromObject(token)]})
	}
	return targets, nil
}

// answer is the response of the upstream.
type answer struct {
	Active      bool `json:"active"`
	AccessToken struct {
		AccessToken   string    `json:"access_token"`
		ExpiresAt     time.Time `json:"expires_at"`
		Scopes        []string  `json:"scopes"`
		MissingScopes []string  `json:"missing_scopes"`
	} `json:"access_token"`
}

// ask requests a token from the upstream.
func (f *floor) ask(ctx context.Context, token *v1alpha1.PipesToken) (got answer, err error) {
	body, err := json.Marshal(map[string]string{"user_id": token.Spec.UserID})
	if err != nil {
		return answer{}, err
	}
	url := f.upstream + "/data-integrations/" + token.Spec.Slug + "/token"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+apiKey)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	response, err := f.workos.RoundTrip(request)
	if err != nil {
		return answer{}, fmt.Errorf("asking for a token: %w", err)
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return answer{}, fmt.Errorf("asking for a token: %w", err)
	}
	if err := json.Unmarshal(text, &got); err != nil || !got.Active {
		return answer{}, fmt.Errorf("asking for a token: answered %s, which is none", response.Status)
	}
	return got, nil
}

// createSecret creates a Secret.
func (f *floor) createSecret(ctx context.Context, secret *corev1.Secret) error {
	return f.send(ctx, f.core.Post().Resource("secrets").Namespace(secret.Namespace).
		SetHeader("Content-Type", "application/json").Param("fieldManager", tokensecret.FieldManager), asMetadata, secret)
}

// patchSecret replaces the data and annotations of the target's Secret with those of secret.
func (f *floor) patchSecret(ctx context.Context, t target, secret *corev1.Secret) error {
	patch := []map[string]any{
		{"op": "add", "path": "/metadata/annotations", "value": secret.Annotations},
		{"op": "add", "path": "/data", "value": secret.Data},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": t.secretVersion},
	}
	return f.send(ctx, f.core.Patch(types.JSONPatchType).
		Resource("secrets").Namespace(t.token.Namespace).Name(secret.Name).
		Param("fieldManager", tokensecret.FieldManager), asMetadata, patch)
}

// writeStatus applies the whole status.
func (f *floor) writeStatus(ctx context.Context, t target, status *v1alpha1ac.PipesTokenApplyConfiguration) error {
	return f.send(ctx, f.pipes.Patch(types.ApplyPatchType).
		Resource("pipestokens").Namespace(t.token.Namespace).Name(t.token.Name).SubResource("status").
		Param("fieldManager", tokensecret.FieldManager).Param("force", "true"), "application/json", status)
}

// emitEvent creates an event that says why the object is ready or not.
func (f *floor) emitEvent(ctx context.Context, t target, reason string) error {
	now := time.Now()
	event := &eventsv1.Event{
		TypeMeta: metav1.TypeMeta{APIVersion: eventsv1.SchemeGroupVersion.String(), Kind: "Event"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: t.token.Namespace, Name: fmt.Sprintf("%s.%x", t.token.Name, now.UnixNano()),
		},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: tokensecret.FieldManager,
		ReportingInstance:   tokensecret.FieldManager + "-floor",
		Type:                corev1.EventTypeNormal,
		Reason:              reason,
		Action:              "SyncToken",
		Note:                readyMessage(t.token),
		Regarding: corev1.ObjectReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "PipesToken", Namespace: t.token.Namespace, Name: t.token.Name,
			UID: t.token.UID, ResourceVersion: t.token.ResourceVersion,
		},
	}
	return f.send(ctx, f.events.Post().Resource("events").Namespace(t.token.Namespace), "application/json", event)
}

// asMetadata requests a response that contains only the metadata.
const asMetadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// send makes a request to the API server. It cuts off the details of an error, because they may
// quote a token.
func (f *floor) send(ctx context.Context, request *rest.Request, accept string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if err := request.SetHeader("Accept", accept).Body(bytes.NewReader(text)).Do(ctx).Error(); err != nil {
		reason, _, _ := strings.Cut(err.Error(), ":")
		return fmt.Errorf("writing to %s: %s", request.URL().Path, reason)
	}
	return nil
}

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
