package pipestoken

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

	"github.com/pipes-operator/pipes-operator/internal/compact"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// SecretClient writes Secrets. It returns only metadata. It compares the data in the response to
// a write with the data that was sent, and drops it. It also reads metadata live, for cases in
// which the caches do not show a Secret completely.
type SecretClient struct {
	rest rest.Interface
}

// NewSecretClient returns a SecretClient. It shares the connections of httpClient with the other
// clients, and also the rate limiter of config if config has one.
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

// Stored is the result of a write: the Secret as the API server has stored it.
type Stored struct {
	Meta *metav1.PartialObjectMetadata
	// Changed names the parts of the write that admission has removed or changed. Nil: none.
	Changed []string
	// Damaged: the operator cannot keep the Secret, because admission has changed parts that the
	// operator needs.
	Damaged bool
	// OtherType: the Secret has another type, and no later write can change that.
	OtherType bool
	// HoldsMore: the write had to clear the Secret, but the Secret still holds data.
	HoldsMore bool
}

// mode says whether a write is real or a dry run.
type mode bool

const (
	// forReal: the API server stores the write.
	forReal mode = false
	// dryRun: the API server does everything except storing the write. Admission runs too.
	dryRun mode = true
)

// Create creates the Secret. The error AlreadyExists means that the name is taken.
func (c *SecretClient) Create(ctx context.Context, secret *corev1.Secret, mode mode) (Stored, error) {
	body, err := json.Marshal(secret)
	if err != nil {
		return Stored{}, fmt.Errorf("encoding Secret %s: %w", secret.Name, err)
	}
	request := c.rest.Post().Namespace(secret.Namespace).SetHeader("Content-Type", "application/json")
	return c.write(ctx, request, body, secret, mode)
}

// Patch applies a JSON patch that turns the Secret into wanted. The error Conflict means that
// the Secret has changed since it was observed.
func (c *SecretClient) Patch(ctx context.Context, wanted *corev1.Secret, patch []byte, mode mode) (Stored, error) {
	return c.write(ctx, c.rest.Patch(types.JSONPatchType).Namespace(wanted.Namespace).Name(wanted.Name),
		patch, wanted, mode)
}

// Delete deletes exactly the version of the Secret that meta was read from. If the Secret no
// longer exists, that is no error. If it has changed, that is an error. If finalizers keep the
// Secret, Delete returns its metadata, and nil otherwise.
func (c *SecretClient) Delete(
	ctx context.Context, meta *metav1.PartialObjectMetadata,
) (*metav1.PartialObjectMetadata, error) {
	options := metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &meta.UID, ResourceVersion: &meta.ResourceVersion},
	}
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
	// The API server answers with a Status if the Secret is deleted, and with its metadata if it
	// remains.
	left := &metav1.PartialObjectMetadata{}
	if err := json.Unmarshal(raw, left); err != nil {
		return nil, fmt.Errorf("decoding the metadata of a Secret: %w", err)
	}
	if left.Name == "" || len(left.Finalizers) == 0 {
		return nil, nil
	}
	return left, nil
}

// Find returns the current metadata of the Secret with that name, regardless of its owner. It
// returns nil if the Secret does not exist. It uses list with a field selector, because the
// operator has no right to get Secrets.
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

// write sends a write, and compares the Secret that the API server has stored with wanted. If
// the write does not touch the data, write requests only metadata.
func (c *SecretClient) write(
	ctx context.Context, request *rest.Request, body []byte, wanted *corev1.Secret, mode mode,
) (Stored, error) {
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
		// The error does not wrap err, which could quote the token.
		return Stored{}, errors.New("the API server's answer to a write of a Secret cannot be decoded")
	}
	meta := &metav1.PartialObjectMetadata{ObjectMeta: secret.ObjectMeta}
	meta.ManagedFields = compact.TrimManagedFields(meta.ManagedFields) // as in the cache
	return Stored{
		Meta:      meta,
		Changed:   tokensecret.Differences(secret, wanted),
		Damaged:   tokensecret.Damaged(secret, wanted),
		OtherType: wanted.Data != nil && secret.Type != wanted.Type,
		HoldsMore: wanted.Data != nil && tokensecret.HoldsMore(secret, wanted),
	}, nil
}

// do sends the request once, because the controller decides when to retry. client-go logs bodies
// at high verbosity, and these bodies hold tokens. Therefore client-go gets a logger that
// discards everything, and the body as a reader, which it does not log.
func (c *SecretClient) do(ctx context.Context, request *rest.Request, accept string, body []byte) ([]byte, error) {
	request = request.Resource("secrets").SetHeader("Accept", accept).MaxRetries(0)
	if body != nil {
		request = request.Body(bytes.NewReader(body))
	}
	result := request.Do(logr.NewContext(ctx, logr.Discard()))
	if err := result.Error(); err != nil { // unlike the error of Raw, it is the API server's own
		return nil, err
	}
	return result.Raw()
}
