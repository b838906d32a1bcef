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
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	v1alpha1ac "github.com/pipes-operator/pipes-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
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
	api, err := client.New(config, client.Options{Scheme: newScheme()})
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
