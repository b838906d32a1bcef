package compact

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// A cache holds the labels and annotations of a Secret as one string. Two maps take more memory
// than all other metadata of the Secret: a third of a kilobyte each, plus the texts in them.
// The string is stored in generateName, where the API server does not allow these characters.
// Reader unpacks the string.
const (
	packMark      = "\x00"                                     // before each key and each value
	packSeparator = "\x01"                                     // between labels and annotations
	packNumbers   = "\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b" // for packedKeys
)

// packedKeys are the keys that nearly all Secrets have. A character of packNumbers replaces
// each of them. No key that the API server allows begins with that character.
var packedKeys = append([]string{v1alpha1.ManagedByLabel, v1alpha1.TokenLabel}, tokensecret.Annotations()...)

// pack packs the labels and annotations of meta. unpack is the inverse. It leaves meta
// unchanged if it cannot be packed.
func pack(meta *metav1.PartialObjectMetadata) {
	var packed strings.Builder
	if meta.GenerateName != "" || !packMap(&packed, meta.Labels) {
		return
	}
	packed.WriteString(packSeparator)
	if !packMap(&packed, meta.Annotations) {
		return
	}
	// The clone is needed because the buffer of the builder is larger than the string.
	meta.GenerateName, meta.Labels, meta.Annotations = strings.Clone(packed.String()), nil, nil
}

func packMap(packed *strings.Builder, texts map[string]string) bool {
	for key, value := range texts {
		if key < " " || strings.ContainsAny(key, packMark+packSeparator) ||
			strings.ContainsAny(value, packMark+packSeparator) {
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

// unpack returns meta itself if it is not packed, and otherwise an unpacked copy.
func unpack(meta *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadata {
	labels, annotations, isPacked := strings.Cut(meta.GenerateName, packSeparator)
	if !isPacked {
		return meta
	}
	whole := *meta
	whole.GenerateName, whole.Labels, whole.Annotations = "", unpackMap(labels), unpackMap(annotations)
	return &whole
}

// unpackMap returns nil for an empty string.
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
