package compact

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// mostCached bounds the bytes that a cache holds of the metadata of one Secret. Anybody who may
// write Secrets in some namespace decides how many bytes there are. A Secret that the operator
// wrote has about 500 bytes. With long scopes of a token, or long annotations of a template, it
// may have more than the bound. It then costs one more request in each reconcile.
const mostCached = 2 << 10

// trimSecretMetadata makes the metadata of a Secret small before a cache stores it. It trims
// managedFields and packs labels and annotations. If the result is still too large, it becomes a
// stub.
func trimSecretMetadata(meta *metav1.PartialObjectMetadata) {
	var isShared bool
	meta.ManagedFields, isShared = trimEntries(meta.ManagedFields)
	pack(meta)
	if cachedBytes(meta, isShared) > mostCached {
		*meta = stubOfSecret(meta)
	}
}

// stubOfSecret keeps the identity and the version of the Secret, and the PipesToken that controls it.
func stubOfSecret(meta *metav1.PartialObjectMetadata) metav1.PartialObjectMetadata {
	whole := unpack(meta)
	stub := metav1.PartialObjectMetadata{TypeMeta: meta.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Name: meta.Name, Namespace: meta.Namespace, UID: meta.UID, ResourceVersion: meta.ResourceVersion,
		CreationTimestamp: meta.CreationTimestamp, DeletionTimestamp: meta.DeletionTimestamp,
		Annotations: map[string]string{stubAnnotation: ""},
		// The values are cloned. An unpacked value is a part of the packed text, and would keep
		// all of that text in memory.
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

// longestReference is larger than any reference to a PipesToken, because a name has at most 253
// bytes.
const longestReference = 512

// Bytes of memory that an item takes beside its text.
const (
	perReference = 96
	perFinalizer = 24
	perEntry     = 192
)

// cachedBytes estimates the memory of packed metadata, without the part that every Secret
// needs. isShared: its managedFields are those of other Secrets.
func cachedBytes(meta *metav1.PartialObjectMetadata, isShared bool) int {
	size := len(meta.GenerateName) + len(meta.GetSelfLink()) + bytesOfReferences(meta.OwnerReferences)
	for _, texts := range []map[string]string{meta.Labels, meta.Annotations} {
		for key, value := range texts {
			size += perPair + len(key) + len(value)
		}
	}
	for _, finalizer := range meta.Finalizers {
		size += perFinalizer + len(finalizer)
	}
	if isShared {
		return size
	}
	for i := range meta.ManagedFields {
		entry := &meta.ManagedFields[i]
		size += perEntry + len(entry.Manager) + len(entry.APIVersion) + len(entry.Subresource) +
			len(entry.FieldsV1.GetRawBytes())
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
