package controllers

import (
	"maps"
	"strings"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// trimToken keeps of a PipesToken what is used, before the cache stores it, and makes a stub of one
// that is too large. The operator writes the whole status and single labels of a PipesToken, so
// nothing is lost that is left out here.
func trimToken(shard Shard) toolscache.TransformFunc {
	return func(object any) (any, error) {
		token, ok := object.(*v1alpha1.PipesToken)
		if !ok {
			return object, nil // a tombstone
		}
		shard.strip(token)
		token.Status = withDigests(token.Status)
		if tokenBytes(token) > mostTokenBytes {
			*token = stubOfToken(token)
		}
		return token, nil
	}
}

// strip removes from a PipesToken, cached or not, what nothing uses.
func (s Shard) strip(token *v1alpha1.PipesToken) {
	trimMetadata(&token.ObjectMeta, s.trim(token.Labels))
	trimRequest(token)
	token.Status.Conditions = trimConditions(token.Status.Conditions)
	share(&token.Namespace, &token.Spec.Slug, &token.Spec.OrganizationID)
	for i := range token.Status.Scopes {
		share(&token.Status.Scopes[i])
	}
}

// trimRequest keeps of the annotations the refresh request, as far as it is used.
func trimRequest(token *v1alpha1.PipesToken) {
	request := strings.Clone(refreshRequest(token)) // else the copy would hold all of it
	token.Annotations = nil
	if request != "" {
		token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: request}
	}
}

// trimEnvironment keeps the whole spec of a PipesEnvironment: its size is bounded by the API server,
// and how many there are by a quota (docs/security.md).
func trimEnvironment(shard Shard) toolscache.TransformFunc {
	return func(object any) (any, error) {
		environment, ok := object.(*v1alpha1.PipesEnvironment)
		if !ok {
			return object, nil
		}
		trimMetadata(&environment.ObjectMeta, shard.selected(environment.Labels))
		environment.Annotations = nil
		environment.Status.Conditions = trimConditions(environment.Status.Conditions)
		return environment, nil
	}
}

// trimSecret keeps the metadata of a Secret, of which most is the same for all.
func trimSecret(object any) (any, error) {
	meta, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	tokensecret.Trim(meta)
	share(&meta.Namespace)
	for i := range meta.OwnerReferences {
		share(&meta.OwnerReferences[i].APIVersion, &meta.OwnerReferences[i].Kind)
	}
	return meta, nil
}

// trimNamespace keeps the labels of a Namespace, or makes a stub of one with too many.
func trimNamespace(object any) (any, error) {
	meta, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	trimMetadata(&meta.ObjectMeta, meta.Labels)
	meta.Annotations = nil
	if bytesOfMap(meta.Labels) > mostNamespaceBytes {
		// The digest of the labels shows when one of them changes.
		meta.Annotations, meta.Labels = map[string]string{stubAnnotation: ""}, map[string]string{stubAnnotation: digestOfMap(meta.Labels)}
	}
	return meta, nil
}

// trimMetadata removes what others may put on any object, but for its annotations.
func trimMetadata(meta *metav1.ObjectMeta, labels map[string]string) {
	meta.Labels = labels
	meta.ManagedFields, meta.OwnerReferences, meta.Finalizers = nil, nil, nil
	meta.GenerateName = ""
	meta.SetSelfLink("") // an update can still store one
}

// trimConditions keeps the operator's own, without room for more, which decoding leaves.
func trimConditions(conditions []metav1.Condition) []metav1.Condition {
	own := make([]metav1.Condition, 0, min(len(conditions), len(ownConditions)))
	for _, c := range conditions {
		if !ownConditions.Has(c.Type) {
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

// longestShared is the longest text that is shared. Longer ones are seldom equal, and the table of
// shared texts must not hold much of what others write.
const longestShared = 512

// share has equal strings share their bytes, as far as they come along between two garbage collections: whoever decodes them makes a
// copy for each object.
func share[T ~string](texts ...*T) {
	for _, text := range texts {
		if len(*text) <= longestShared {
			*text = unique.Make(*text).Value()
		}
	}
}

// selected leaves those labels that the shard's selector looks at.
func (s Shard) selected(given map[string]string) map[string]string {
	if s.selector == nil {
		return nil
	}
	keys := sets.New[string]()
	if s.ring != "" {
		keys.Insert(s.ringLabels()...)
	}
	requirements, _ := s.selector.Requirements()
	for i := range requirements {
		keys.Insert(requirements[i].Key())
	}
	kept := maps.Clone(given)
	maps.DeleteFunc(kept, func(key, _ string) bool { return !keys.Has(key) })
	return kept
}
