package compact

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
)

// Reader reads from the caches. If a cache holds a stub, Get reads the object from the API
// server. List, and Get with client.UnsafeDisableDeepCopy, return the stub.
type Reader struct {
	client.Client
	live    client.Reader
	secrets Finder
	shard   sharding.Shard
	// turns limits how many large objects are read at the same time. Each of them has up to 1.5
	// MiB at the API server, and takes several times that while it is decoded.
	turns chan struct{}
}

// largeReads is how many large objects are read at the same time.
const largeReads = 2

// Finder finds the metadata of a Secret at the API server; nil if the Secret does not exist.
type Finder interface {
	Find(ctx context.Context, name types.NamespacedName) (*metav1.PartialObjectMetadata, error)
}

// NewReader returns a Reader of the caches of cached. It reads complete objects from live, and
// complete metadata of Secrets from secrets.
func NewReader(
	cached client.Client, live client.Reader, secrets Finder, shard sharding.Shard,
) *Reader {
	return &Reader{Client: cached, live: live, secrets: secrets, shard: shard, turns: make(chan struct{}, largeReads)}
}

// Get implements client.Reader.
func (r *Reader) Get(
	ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption,
) error {
	if err := r.Client.Get(ctx, key, object, options...); err != nil {
		return err
	}
	if !r.lacks(object, options) {
		unpackInto(object)
		return nil
	}
	select {
	case r.turns <- struct{}{}:
		defer func() { <-r.turns }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	switch typed := object.(type) {
	case *v1alpha1.PipesToken:
		return r.readToken(ctx, key, typed)
	case *metav1.PartialObjectMetadata:
		if typed.Kind == "Secret" {
			return r.readSecret(ctx, key, typed)
		}
		return r.readNamespace(ctx, key, typed)
	default:
		return fmt.Errorf("there are no stubs of %T", object)
	}
}

func unpackInto(object client.Object) {
	if meta, ok := object.(*metav1.PartialObjectMetadata); ok {
		*meta = *unpack(meta)
	}
}

// lacks reports whether the cache returned a stub to a caller that needs the complete object.
func (r *Reader) lacks(object client.Object, options []client.GetOption) bool {
	if !isStub(object) {
		return false
	}
	applied := (&client.GetOptions{}).ApplyOptions(options)
	return applied.UnsafeDisableDeepCopy == nil || !*applied.UnsafeDisableDeepCopy
}

// readToken reads a PipesToken from the API server. It returns NotFound if the PipesToken has
// moved to another shard, as the cache will soon show.
func (r *Reader) readToken(ctx context.Context, key client.ObjectKey, token *v1alpha1.PipesToken) error {
	*token = v1alpha1.PipesToken{}
	if err := r.live.Get(ctx, key, token); err != nil {
		return err
	}
	if !r.shard.Has(token) {
		return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("pipestokens").GroupResource(), key.Name)
	}
	stripToken(r.shard, token)
	return nil
}

func (r *Reader) readSecret(ctx context.Context, key client.ObjectKey, meta *metav1.PartialObjectMetadata) error {
	found, err := r.secrets.Find(ctx, key)
	if err != nil {
		return err
	}
	if found == nil {
		return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
	}
	*meta = *found
	return nil
}

func (r *Reader) readNamespace(
	ctx context.Context, key client.ObjectKey, meta *metav1.PartialObjectMetadata,
) error {
	*meta = metav1.PartialObjectMetadata{TypeMeta: meta.TypeMeta}
	return r.live.Get(ctx, key, meta)
}
