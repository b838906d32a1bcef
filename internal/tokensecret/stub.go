package tokensecret

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// mostCached bounds the bytes that a cache holds of the metadata of one Secret. Whoever may
// write Secrets in some namespace decides how much there is. A Secret that we wrote ourselves has
// about 500 bytes; one of a token with long scopes, or of a template with long annotations, may have
// more, and costs one more request in each reconcile.
const mostCached = 2 << 10

// stubAnnotation marks a stub. No API server stores an annotation of such a name.
const stubAnnotation = "\x00stub"

// Trim makes the metadata of a Secret small before a cache stores it: it trims managedFields, packs
// labels and annotations, and makes a stub of what is still too large. IsStub tells which.
func Trim(meta *metav1.PartialObjectMetadata) {
	meta.ManagedFields = TrimManagedFields(meta.ManagedFields)
	Pack(meta)
	if cachedBytes(meta) > mostCached {
		*meta = stubOf(meta)
	}
}

// IsStub says whether meta only names a Secret, so that its metadata has to be read from the API
// server. Nothing can be observed from a stub, and no patch computed.
func IsStub(meta metav1.Object) bool {
	_, stub := meta.GetAnnotations()[stubAnnotation]
	return stub
}

// stubOf keeps which Secret it is, in which version, and which PipesToken controls it.
func stubOf(meta *metav1.PartialObjectMetadata) metav1.PartialObjectMetadata {
	whole := unpacked(meta)
	stub := metav1.PartialObjectMetadata{TypeMeta: meta.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Name: meta.Name, Namespace: meta.Namespace, UID: meta.UID, ResourceVersion: meta.ResourceVersion,
		CreationTimestamp: meta.CreationTimestamp, DeletionTimestamp: meta.DeletionTimestamp,
		Annotations: map[string]string{stubAnnotation: ""},
		// A copy: what is unpacked is a part of the whole text, and would hold all of it.
		Labels: map[string]string{
			v1alpha1.ManagedByLabel: strings.Clone(whole.Labels[v1alpha1.ManagedByLabel]),
			v1alpha1.TokenLabel:     strings.Clone(whole.Labels[v1alpha1.TokenLabel]),
		},
	}}
	controller := metav1.GetControllerOfNoCopy(whole)
	if controller != nil && bytesOfReferences([]metav1.OwnerReference{*controller}) <= longestReference {
		stub.OwnerReferences = []metav1.OwnerReference{*controller}
	}
	return stub
}

// longestReference is more than a reference to a PipesToken has: its name is at most 253 bytes long.
const longestReference = 512

// What an item takes in memory beside its text.
const (
	perPair      = 48
	perReference = 96
	perFinalizer = 24
	perEntry     = 192
)

// cachedBytes is about what packed metadata takes in memory beside what every Secret has.
func cachedBytes(meta *metav1.PartialObjectMetadata) int {
	size := len(meta.GenerateName) + len(meta.GetSelfLink()) + bytesOfReferences(meta.OwnerReferences)
	for _, texts := range []map[string]string{meta.Labels, meta.Annotations} {
		for key, value := range texts {
			size += perPair + len(key) + len(value)
		}
	}
	for _, finalizer := range meta.Finalizers {
		size += perFinalizer + len(finalizer)
	}
	if trimmed.shares(meta.ManagedFields) {
		return size
	}
	for i := range meta.ManagedFields {
		entry := &meta.ManagedFields[i]
		size += perEntry + len(entry.Manager) + len(entry.APIVersion) + len(entry.Subresource) + len(entry.FieldsV1.GetRawBytes())
	}
	return size
}

func bytesOfReferences(references []metav1.OwnerReference) (size int) {
	for i := range references {
		reference := &references[i]
		size += perReference + len(reference.APIVersion) + len(reference.Kind) + len(reference.Name) + len(reference.UID)
	}
	return size
}
