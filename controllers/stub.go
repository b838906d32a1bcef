package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// What users may put into an object is larger than what a cache can hold of many. So the caches hold
// a stub of an object that is too large: what finds it and tells its versions apart. Whoever gets such
// an object by wholeReader gets all of it, from the API server.

// Bounds of what the caches hold of one object, in bytes beside what every object has.
const (
	// mostTokenBytes keeps a PipesToken below 4 KiB in all.
	mostTokenBytes = 2 << 10
	// mostNamespaceBytes is for labels.
	mostNamespaceBytes = 2 << 10
	// mostScopesBytes is for each list of scopes. A longer one is compared by its digest.
	mostScopesBytes = 256
)

// stubAnnotation marks a stub. No API server stores an annotation of such a name.
const stubAnnotation = "\x00stub"

// isStub says whether the object is a stub of a PipesToken or of a Namespace.
func isStub(object metav1.Object) bool {
	_, stub := object.GetAnnotations()[stubAnnotation]
	return stub
}

// stubOfToken keeps what indexes, predicates, handlers and metrics look at. The refresh request is there as a
// digest, which shows when it changes.
func stubOfToken(token *v1alpha1.PipesToken) v1alpha1.PipesToken {
	stub := v1alpha1.PipesToken{TypeMeta: token.TypeMeta, ObjectMeta: token.ObjectMeta}
	stub.Annotations = map[string]string{stubAnnotation: ""}
	if request := refreshRequest(token); request != "" {
		stub.Annotations[v1alpha1.RefreshRequestedAtAnnotation] = digest(request)
	}
	stub.Spec = v1alpha1.PipesTokenSpec{
		Slug: token.Spec.Slug, UserID: token.Spec.UserID, OrganizationID: token.Spec.OrganizationID,
		EnvironmentRef: token.Spec.EnvironmentRef, SecretName: token.Spec.SecretName, Suspend: token.Spec.Suspend,
	}
	stub.Status = v1alpha1.PipesTokenStatus{
		ObservedGeneration: token.Status.ObservedGeneration, ExpirationTime: token.Status.ExpirationTime,
		RenewalTime: token.Status.RenewalTime, LastRefreshTime: token.Status.LastRefreshTime,
		Conditions: token.Status.Conditions,
	}
	for i := range stub.Status.Conditions {
		c := &stub.Status.Conditions[i]
		if c.Message = ""; len(c.Reason) > longestShared {
			c.Reason = "" // it is none of ours
		}
	}
	return stub
}

// tokenBytes is about what a trimmed PipesToken takes in memory beside what every one has.
func tokenBytes(token *v1alpha1.PipesToken) int {
	spec, status := token.Spec, token.Status
	size := len(token.Name) + len(spec.Slug) + len(spec.UserID) + len(spec.OrganizationID) + len(spec.SecretName) +
		len(status.LastHandledRefreshRequest) + bytesOfMap(token.Annotations) + bytesOfMap(token.Labels)
	if spec.EnvironmentRef != nil {
		size += len(spec.EnvironmentRef.Name) + len(spec.EnvironmentRef.Namespace)
	}
	if template := spec.SecretTemplate; template != nil {
		size += bytesOfMap(template.Labels) + bytesOfMap(template.Annotations) + bytesOfMap(template.Data)
	}
	if status.Binding != nil {
		size += len(status.Binding.Name)
	}
	size += bytesOfTexts(status.Scopes) + bytesOfTexts(status.MissingScopes)
	for i := range status.Conditions {
		size += len(status.Conditions[i].Message)
	}
	return size
}

// What a string and a pair of a map take beside their text.
const (
	perText = 24
	perPair = 48
)

func bytesOfMap[V ~string](texts map[string]V) (size int) {
	for key, value := range texts {
		size += perPair + len(key) + len(value)
	}
	return size
}

func bytesOfTexts(texts []string) (size int) {
	for _, text := range texts {
		size += perText + len(text)
	}
	return size
}

// withDigests replaces long lists of scopes by their digests. A status is compared with one in the
// cache only after both have been through it; a second time changes nothing.
func withDigests(status v1alpha1.PipesTokenStatus) v1alpha1.PipesTokenStatus {
	status.Scopes, status.MissingScopes = digestOfScopes(status.Scopes), digestOfScopes(status.MissingScopes)
	return status
}

// digestOfScopes begins with a byte that no scope of WorkOS has.
func digestOfScopes(scopes []string) []string {
	if bytesOfTexts(scopes) <= mostScopesBytes {
		return scopes
	}
	return []string{"\x00" + digest(scopes...)}
}

func digestOfMap(texts map[string]string) string {
	pairs := make([]string, 0, 2*len(texts))
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		pairs = append(pairs, key, texts[key])
	}
	return digest(pairs...)
}

// digest tells lists of texts apart: the length of each counts.
func digest(texts ...string) string {
	h := sha256.New()
	for _, text := range texts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
