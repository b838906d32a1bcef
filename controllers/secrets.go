package controllers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// SecretClient writes Secrets and gets only their metadata back, so that no token ever comes from the API server. It reads
// one live only to tell whose a name is.
type SecretClient struct {
	rest rest.Interface
}

// NewSecretClient returns a SecretClient that shares httpClient's connections, and config's rate limiter if it has one, with the other clients.
func NewSecretClient(config *rest.Config, httpClient *http.Client) (*SecretClient, error) {
	config = rest.CopyConfig(config)
	config.APIPath = "/api"
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("making a client for Secrets: %w", err)
	}
	return &SecretClient{rest: client}, nil
}

const (
	asMetadata     = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	asMetadataList = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
)

// Create creates the Secret and returns its metadata. AlreadyExists: the name is taken.
func (c *SecretClient) Create(ctx context.Context, secret *corev1.Secret) (*metav1.PartialObjectMetadata, error) {
	body, err := json.Marshal(secret)
	if err != nil {
		return nil, fmt.Errorf("encoding Secret %s: %w", secret.Name, err)
	}
	return c.metadata(ctx, c.rest.Post().Namespace(secret.Namespace).SetHeader("Content-Type", "application/json"), body)
}

// Patch applies a JSON patch to the Secret and returns its metadata. Conflict: the Secret has moved on.
func (c *SecretClient) Patch(ctx context.Context, name types.NamespacedName, patch []byte) (*metav1.PartialObjectMetadata, error) {
	return c.metadata(ctx, c.rest.Patch(types.JSONPatchType).Namespace(name.Namespace).Name(name.Name), patch)
}

// Delete deletes the very Secret that meta was read from. That it is gone already is no error; that it has changed since is. What is
// left, because it has finalizers, is returned; nil when nothing is.
func (c *SecretClient) Delete(ctx context.Context, meta *metav1.PartialObjectMetadata) (*metav1.PartialObjectMetadata, error) {
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &meta.UID, ResourceVersion: &meta.ResourceVersion}}
	body, err := json.Marshal(options)
	if err != nil {
		return nil, fmt.Errorf("encoding the deletion of Secret %s: %w", meta.Name, err)
	}
	request := c.rest.Delete().Namespace(meta.Namespace).Name(meta.Name).SetHeader("Content-Type", "application/json")
	raw, err := c.do(ctx, request, asMetadata, body)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// What is gone is answered with a Status, what is left with its metadata.
	left := &metav1.PartialObjectMetadata{}
	if err := json.Unmarshal(raw, left); err != nil {
		return nil, fmt.Errorf("decoding the metadata of a Secret: %w", err)
	}
	if left.Name == "" || len(left.Finalizers) == 0 {
		return nil, nil
	}
	return left, nil
}

// Find returns the metadata of the Secret of that name as it is now, whoever it belongs to; nil when there is none. It lists by
// name because the operator has no right to get Secrets.
func (c *SecretClient) Find(ctx context.Context, name types.NamespacedName) (*metav1.PartialObjectMetadata, error) {
	request := c.rest.Get().Namespace(name.Namespace).
		Param("fieldSelector", fields.OneTermEqualSelector("metadata.name", name.Name).String())
	raw, err := c.do(ctx, request, asMetadataList, nil)
	if err != nil {
		return nil, err
	}
	var list metav1.PartialObjectMetadataList
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("decoding the metadata of Secret %s: %w", name.Name, err)
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	return &list.Items[0], nil
}

func (c *SecretClient) metadata(ctx context.Context, request *rest.Request, body []byte) (*metav1.PartialObjectMetadata, error) {
	raw, err := c.do(ctx, request.Param("fieldManager", tokensecret.FieldManager), asMetadata, body)
	if err != nil {
		return nil, err
	}
	meta := &metav1.PartialObjectMetadata{}
	if err := json.Unmarshal(raw, meta); err != nil {
		return nil, fmt.Errorf("decoding the metadata of a Secret: %w", err)
	}
	meta.ManagedFields = tokensecret.TrimManagedFields(meta.ManagedFields) // as the cache will have them
	return meta, nil
}

// do sends the request. client-go logs bodies when its verbosity is high enough; here they hold tokens, so it gets a logger
// that discards them, and a reader, which it does not log.
func (c *SecretClient) do(ctx context.Context, request *rest.Request, accept string, body []byte) ([]byte, error) {
	request = request.Resource("secrets").SetHeader("Accept", accept)
	if body != nil {
		request = request.Body(bytes.NewReader(body))
	}
	result := request.Do(logr.NewContext(ctx, logr.Discard()))
	if err := result.Error(); err != nil { // which, unlike Raw's, is the API server's own
		return nil, withoutAdmission(err)
	}
	return result.Raw()
}

// withoutAdmission cuts off what an admission webhook or policy has said beyond that it refuses: those can quote what they were
// shown, which here is a token.
func withoutAdmission(err error) error {
	var status *apierrors.StatusError
	if !errors.As(err, &status) {
		return err
	}
	for _, denial := range []string{"denied the request", "denied request"} {
		if head, _, found := strings.Cut(status.ErrStatus.Message, denial); found {
			cut := *status
			cut.ErrStatus.Message, cut.ErrStatus.Details = head+denial, nil
			return &cut
		}
	}
	return err
}
