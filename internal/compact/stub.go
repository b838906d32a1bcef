package compact

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/refresh"
)

// Users can store more data in an object than a cache can hold for many objects. Therefore the
// caches hold a stub of an object that is too large. The stub contains the fields by which the
// object is found, and the fields that differ between its versions. Reader reads the
// complete object from the API server.

// These are limits for the data of one object in the caches, in bytes. The fixed size of an
// object does not count.
const (
	// mostTokenBytes keeps the total size of a PipesToken below 4 KiB.
	mostTokenBytes = 2 << 10
	// mostNamespaceBytes limits the labels of a Namespace.
	mostNamespaceBytes = 2 << 10
	// mostScopesBytes limits each list of scopes. A longer list is compared by its digest.
	mostScopesBytes = 256
)

// stubAnnotation marks a stub. The API server accepts no annotation with this name.
const stubAnnotation = "\x00stub"

// isStub reports whether the object is a stub. A stub can neither be observed nor used to compute a
// patch.
func isStub(object metav1.Object) bool {
	_, stub := object.GetAnnotations()[stubAnnotation]
	return stub
}

// stubOfToken keeps the fields that indexes, predicates, handlers and metrics use. It replaces
// the refresh request by its digest, which shows that the request has changed.
func stubOfToken(token *v1alpha1.PipesToken) v1alpha1.PipesToken {
	stub := v1alpha1.PipesToken{TypeMeta: token.TypeMeta, ObjectMeta: token.ObjectMeta}
	stub.Annotations = map[string]string{stubAnnotation: ""}
	if request := refresh.Request(token); request != "" {
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
			c.Reason = "" // it is not one of our reasons
		}
	}
	return stub
}

// tokenBytes estimates the memory of a trimmed PipesToken, without the fixed size that every
// PipesToken has.
func tokenBytes(token *v1alpha1.PipesToken) int {
	spec, status := token.Spec, token.Status
	size := len(token.Name) + len(spec.Slug) + len(spec.UserID) + len(spec.OrganizationID) + len(spec.SecretName) +
		len(status.LastHandledRefreshRequest) + bytesOfMap(token.Annotations) + bytesOfMap(token.Labels)
	if spec.EnvironmentRef != nil {
		size += len(spec.EnvironmentRef.Name) + len(spec.EnvironmentRef.Namespace)
	}
	if status.EnvironmentRef != nil {
		size += len(status.EnvironmentRef.Name) + len(status.EnvironmentRef.Namespace)
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

// perText and perPair are the memory of a string and of a map entry, without their text.
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

// SameStatus reports whether before equals want. It compares long lists of scopes by their
// digests, because the caches hold only the digests.
func SameStatus(want, before v1alpha1.PipesTokenStatus) bool {
	if !conditions.Same(want.Conditions, before.Conditions) {
		return false
	}
	want, before = withDigests(want), withDigests(before)
	want.Conditions, before.Conditions = nil, nil
	return equality.Semantic.DeepEqual(want, before)
}

// withDigests replaces long lists of scopes by their digests. A status and a status from the
// cache can be compared only after both have gone through it. A second time changes nothing.
func withDigests(status v1alpha1.PipesTokenStatus) v1alpha1.PipesTokenStatus {
	status.Scopes, status.MissingScopes = digestOfScopes(status.Scopes), digestOfScopes(status.MissingScopes)
	return status
}

// digestOfScopes returns a short list as it is, and the digest of a long list. The digest begins
// with a byte that no scope of WorkOS contains.
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

// digest returns a hash that differs between lists of texts. The length of each text is part of
// it, because ["ab", "c"] must not equal ["a", "bc"].
func digest(texts ...string) string {
	h := sha256.New()
	for _, text := range texts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
