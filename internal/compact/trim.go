package compact

import (
	"strings"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/memo"
	"github.com/pipes-operator/pipes-operator/internal/refresh"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
)

// trimToken removes the unused parts of a PipesToken before the cache stores it, and replaces a
// PipesToken that is too large by a stub. No data is lost in the API server, because the
// operator writes only the complete status and single labels of a PipesToken.
func trimToken(shard sharding.Shard) toolscache.TransformFunc {
	return func(object any) (any, error) {
		token, ok := object.(*v1alpha1.PipesToken)
		if !ok {
			return object, nil // a tombstone
		}
		stripToken(shard, token)
		token.Status = withDigests(token.Status)
		if tokenBytes(token) > mostTokenBytes {
			*token = stubOfToken(token)
		}
		return token, nil
	}
}

// stripToken removes the unused parts of a PipesToken, which may come from the cache or from the API
// server.
func stripToken(shard sharding.Shard, token *v1alpha1.PipesToken) {
	trimMetadata(&token.ObjectMeta, shard.RingLabels(token.Labels))
	trimRequest(token)
	token.Status.Conditions = trimConditions(token.Status.Conditions)
	share(&token.Namespace, &token.Spec.Slug, &token.Spec.OrganizationID)
	share(&token.Spec.ConnectionOwner)
	share(&token.Spec.AuthMethod)
	share(&token.Spec.InactivePolicy)
	if bound := token.Status.Binding; bound != nil && bound.Name == token.Name {
		bound.Name = token.Name
	}
	token.Status.EnvironmentRef = shareReference(token.Status.EnvironmentRef)
	for i := range token.Status.Scopes {
		share(&token.Status.Scopes[i])
	}
}

// trimRequest removes all annotations except the refresh request, and cuts that to the used
// length.
func trimRequest(token *v1alpha1.PipesToken) {
	request := strings.Clone(refresh.Request(token)) // a substring would keep the whole value in memory
	token.Annotations = nil
	if request != "" {
		token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: request}
	}
}

// trimEnvironment keeps the complete spec of a PipesEnvironment. The API server limits its size,
// and a quota limits the number of PipesEnvironments (docs/explanation/security.md).
func trimEnvironment(shard sharding.Shard) toolscache.TransformFunc {
	return func(object any) (any, error) {
		environment, ok := object.(*v1alpha1.PipesEnvironment)
		if !ok {
			return object, nil
		}
		trimMetadata(&environment.ObjectMeta, shard.SelectedLabels(environment.Labels))
		environment.Annotations = nil
		environment.Status.Conditions = trimConditions(environment.Status.Conditions)
		return environment, nil
	}
}

// trimSecret trims the metadata of a Secret, and shares the strings that most Secrets have in
// common.
func trimSecret(object any) (any, error) {
	meta, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	trimSecretMetadata(meta)
	share(&meta.Namespace)
	for i := range meta.OwnerReferences {
		share(&meta.OwnerReferences[i].APIVersion, &meta.OwnerReferences[i].Kind)
	}
	return meta, nil
}

// trimNamespace keeps only the labels of a Namespace. It makes a stub of a Namespace with too
// many labels.
func trimNamespace(object any) (any, error) {
	meta, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	trimMetadata(&meta.ObjectMeta, meta.Labels)
	meta.Annotations = nil
	if bytesOfMap(meta.Labels) > mostNamespaceBytes {
		// The digest of the labels changes when a label changes.
		meta.Annotations, meta.Labels =
			map[string]string{stubAnnotation: ""}, map[string]string{stubAnnotation: digestOfMap(meta.Labels)}
	}
	return meta, nil
}

// trimMetadata removes the metadata that users may add to any object, except for the
// annotations.
func trimMetadata(meta *metav1.ObjectMeta, labels map[string]string) {
	meta.Labels = labels
	meta.ManagedFields, meta.OwnerReferences, meta.Finalizers = nil, nil, nil
	meta.GenerateName = ""
	meta.SetSelfLink("") // an update can still store a selfLink
}

// trimConditions keeps the operator's own conditions. The slice has no spare capacity, unlike a
// slice that was decoded.
func trimConditions(all []metav1.Condition) []metav1.Condition {
	own := make([]metav1.Condition, 0, min(len(all), len(conditions.Own)))
	for _, c := range all {
		if !conditions.Own.Has(c.Type) {
			continue
		}
		share(&c.Type, &c.Reason, &c.Message)
		share(&c.Status)
		own = append(own, c)
	}
	if len(own) == cap(own) {
		return own
	}
	return append(make([]metav1.Condition, 0, len(own)), own...)
}

// longestShared is the length of the longest string that is shared, in bytes. Longer strings are
// seldom equal, and the table of shared strings must not hold much data that others write.
const longestShared = 512

// share makes equal strings share their memory, because decoding makes a copy for each object.
// It finds only strings that were shared since the last garbage collection.
func share[T ~string](texts ...*T) {
	for _, text := range texts {
		if len(*text) <= longestShared {
			*text = unique.Make(*text).Value()
		}
	}
}

// references holds the PipesEnvironments that PipesTokens use. There are few of them, so
// PipesTokens share them: this saves 32 bytes and two strings for each PipesToken.
var references = memo.New[v1alpha1.EnvironmentReference, *v1alpha1.EnvironmentReference](1024, 1<<20)

// shareReference returns a reference that equals ref. Nobody may change it.
func shareReference(ref *v1alpha1.EnvironmentReference) *v1alpha1.EnvironmentReference {
	if ref == nil {
		return nil
	}
	size := len(ref.Namespace) + len(ref.Name)
	if size > longestShared {
		return ref
	}
	return references.Of(*ref, size+4*perText, func() *v1alpha1.EnvironmentReference { return ref })
}
