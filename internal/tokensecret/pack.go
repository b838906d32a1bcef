package tokensecret

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// A cache holds the labels and annotations of a Secret as one string, since two maps take more than all the rest of its metadata: a
// third of a kilobyte each, and more for the texts in them. The string stands in generateName, which the API server allows to hold
// nothing like it. Observe unpacks it.
const (
	packMark      = "\x00"                                 // before each key and each value
	packSeparator = "\x01"                                 // between labels and annotations
	packNumbers   = "\x02\x03\x04\x05\x06\x07\x08\x09\x0a" // of packedKeys
)

// packedKeys are the keys that nearly all have. In the place of each stands one of packNumbers, which no key that the API server
// allows begins with.
var packedKeys = slices.Concat([]string{v1alpha1.ManagedByLabel, v1alpha1.TokenLabel}, factAnnotations, adviceAnnotations)

// Pack packs the labels and annotations of meta, for Observe to read. What cannot be packed is left as it is.
func Pack(meta *metav1.PartialObjectMetadata) {
	var packed strings.Builder
	if meta.GenerateName != "" || !packMap(&packed, meta.Labels) {
		return
	}
	packed.WriteString(packSeparator)
	if !packMap(&packed, meta.Annotations) {
		return
	}
	// A copy: the builder's room is more than it takes.
	meta.GenerateName, meta.Labels, meta.Annotations = strings.Clone(packed.String()), nil, nil
}

func packMap(packed *strings.Builder, texts map[string]string) bool {
	for key, value := range texts {
		if key < " " || strings.ContainsAny(key, packMark+packSeparator) || strings.ContainsAny(value, packMark+packSeparator) {
			return false
		}
		packed.WriteString(packMark)
		if i := slices.Index(packedKeys, key); i >= 0 {
			packed.WriteByte(packNumbers[i])
		} else {
			packed.WriteString(key)
		}
		packed.WriteString(packMark)
		packed.WriteString(value)
	}
	return true
}

// unpacked is meta, or where that is packed a copy that is not.
func unpacked(meta *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadata {
	labels, annotations, isPacked := strings.Cut(meta.GenerateName, packSeparator)
	if !isPacked {
		return meta
	}
	whole := *meta
	whole.GenerateName, whole.Labels, whole.Annotations = "", unpackMap(labels), unpackMap(annotations)
	return &whole
}

// unpackMap is nil when there is nothing in it.
func unpackMap(packed string) map[string]string {
	if packed == "" {
		return nil
	}
	parts := strings.Split(packed[len(packMark):], packMark)
	texts := make(map[string]string, len(parts)/2)
	for pair := range slices.Chunk(parts, 2) {
		key, value := pair[0], pair[1]
		if i := strings.IndexByte(packNumbers, key[0]); i >= 0 {
			key = packedKeys[i]
		}
		texts[key] = value
	}
	return texts
}
