package controllers

import (
	"maps"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// trimToken keeps of a PipesToken what is used, before the cache stores it. What the operator writes of one is its status, whole, and
// single labels; so nothing is lost that is left out here.
func trimToken(shard Shard) toolscache.TransformFunc {
	return func(object any) (any, error) {
		token, ok := object.(*v1alpha1.PipesToken)
		if !ok {
			return object, nil // a tombstone
		}
		token.Labels = shard.trim(token.Labels)
		trimTokenInPlace(token)
		return token, nil
	}
}

func trimTokenInPlace(token *v1alpha1.PipesToken) {
	token.ManagedFields, token.OwnerReferences = nil, nil
	maps.DeleteFunc(token.Annotations, func(key, _ string) bool { return key != v1alpha1.RefreshRequestedAtAnnotation })
	if len(token.Annotations) == 0 {
		token.Annotations = nil
	}
	share(&token.Namespace, &token.Spec.Slug, &token.Spec.OrganizationID)
	for i := range token.Status.Scopes {
		share(&token.Status.Scopes[i])
	}
	token.Status.Conditions = exact(token.Status.Conditions)
	for i := range token.Status.Conditions {
		c := &token.Status.Conditions[i]
		share(&c.Type, &c.Reason, &c.Message)
		share(&c.Status)
	}
}

// exact is a copy of all without room for more, which decoding leaves.
func exact[T any](all []T) []T {
	if len(all) == cap(all) {
		return all
	}
	return append(make([]T, 0, len(all)), all...)
}

// trimSecret keeps the metadata of a Secret, of which most is the same for all.
func trimSecret(object any) (any, error) {
	meta, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	meta.ManagedFields = tokensecret.TrimManagedFields(meta.ManagedFields)
	share(&meta.Namespace)
	tokensecret.Pack(meta)
	for i := range meta.OwnerReferences {
		share(&meta.OwnerReferences[i].APIVersion, &meta.OwnerReferences[i].Kind)
	}
	return meta, nil
}

// share has equal strings share their bytes, as far as they come along between two garbage collections: whoever decodes them makes a
// copy for each object.
func share[T ~string](texts ...*T) {
	for _, text := range texts {
		*text = unique.Make(*text).Value()
	}
}
