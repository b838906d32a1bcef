package controllers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

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

// SecretClient writes Secrets. It returns metadata alone: the data that comes back from a write is
// compared with what was sent, and dropped. It reads metadata live only to tell whose a name is.
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

// Stored is what the API server made of a write.
type Stored struct {
	Meta *metav1.PartialObjectMetadata
	// Changed names what admission has removed or changed of what was written. Nil: nothing.
	Changed []string
	// Damaged says that the operator cannot keep a Secret that was changed like that.
	Damaged bool
	// OtherType says that the type was changed, which no later write can undo.
	OtherType bool
	// HoldsMore says of a cleared Secret that it still holds data that was to be removed.
	HoldsMore bool
}

// mode is whether a write is meant, or only tried out.
type mode bool

const (
	// forReal stores what is written.
	forReal mode = false
	// dryRun has the API server do all but store it, admission included.
	dryRun mode = true
)

// Create creates the Secret. AlreadyExists: the name is taken.
func (c *SecretClient) Create(ctx context.Context, secret *corev1.Secret, mode mode) (Stored, error) {
	body, err := json.Marshal(secret)
	if err != nil {
		return Stored{}, fmt.Errorf("encoding Secret %s: %w", secret.Name, err)
	}
	request := c.rest.Post().Namespace(secret.Namespace).SetHeader("Content-Type", "application/json")
	return c.write(ctx, request, body, secret, mode)
}

// Patch applies a JSON patch that makes the Secret what wanted is. Conflict: the Secret has moved on.
func (c *SecretClient) Patch(ctx context.Context, wanted *corev1.Secret, patch []byte, mode mode) (Stored, error) {
	return c.write(ctx, c.rest.Patch(types.JSONPatchType).Namespace(wanted.Namespace).Name(wanted.Name), patch, wanted, mode)
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

// write sends a write, and compares what the API server has stored with what was wanted. Where the
// write leaves the data alone, only metadata is asked for.
func (c *SecretClient) write(ctx context.Context, request *rest.Request, body []byte, wanted *corev1.Secret, mode mode) (Stored, error) {
	accept := asMetadata
	if wanted.Data != nil {
		accept = "application/json"
	}
	request = request.Param("fieldManager", tokensecret.FieldManager)
	if mode == dryRun {
		request = request.Param("dryRun", metav1.DryRunAll)
	}
	raw, err := c.do(ctx, request, accept, body)
	if err != nil {
		return Stored{}, err
	}
	secret := &corev1.Secret{}
	if err := json.Unmarshal(raw, secret); err != nil {
		return Stored{}, errors.New("the API server's answer to a write of a Secret cannot be decoded") // err could quote it
	}
	meta := &metav1.PartialObjectMetadata{ObjectMeta: secret.ObjectMeta}
	meta.ManagedFields = tokensecret.TrimManagedFields(meta.ManagedFields) // as the cache will have them
	return Stored{
		Meta:      meta,
		Changed:   tokensecret.Differences(secret, wanted),
		Damaged:   tokensecret.Damaged(secret, wanted),
		OtherType: wanted.Data != nil && secret.Type != wanted.Type,
		HoldsMore: wanted.Data != nil && tokensecret.HoldsMore(secret, wanted),
	}, nil
}

// do sends the request once: how soon to send it again is for the controller to say. client-go logs
// bodies when its verbosity is high enough; here they hold tokens, so it gets a logger that discards
// them, and a reader, which it does not log.
func (c *SecretClient) do(ctx context.Context, request *rest.Request, accept string, body []byte) ([]byte, error) {
	request = request.Resource("secrets").SetHeader("Accept", accept).MaxRetries(0)
	if body != nil {
		request = request.Body(bytes.NewReader(body))
	}
	result := request.Do(logr.NewContext(ctx, logr.Discard()))
	if err := result.Error(); err != nil { // which, unlike Raw's, is the API server's own
		return nil, err
	}
	return result.Raw()
}
