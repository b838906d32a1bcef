package tokensecret

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// Differences names the fields that the API server stored differently than the operator wrote
// them, in a stable order. Admission can remove or change anything. The result never quotes a
// value. A field that admission added is not a difference; HoldsMore finds added data.
//
// wanted is the result of New, Cleared or Relabelled. If its Data is nil, the write did not
// touch the data.
func Differences(stored, wanted *corev1.Secret) []string {
	var found []string
	found = append(found, differentTexts("label", stored.Labels, wanted.Labels)...)
	found = append(found, differentTexts("annotation", stored.Annotations, wanted.Annotations)...)
	if wanted.Data != nil {
		found = append(found, differentData(stored.Data, wanted.Data)...)
		if stored.Type != wanted.Type {
			found = append(found, "the type is changed")
		}
	}
	controller := metav1.GetControllerOfNoCopy(stored)
	if controller == nil || controller.UID != metav1.GetControllerOfNoCopy(wanted).UID {
		found = append(found, "the owner reference is removed or changed")
	}
	return found
}

func differentTexts(kind string, stored, wanted map[string]string) (found []string) {
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		switch value, there := stored[key]; {
		case !there:
			found = append(found, fmt.Sprintf("%s %q is removed", kind, key))
		case value != wanted[key]:
			found = append(found, fmt.Sprintf("%s %q is changed", kind, key))
		}
	}
	return found
}

func differentData(stored, wanted map[string][]byte) (found []string) {
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		switch value, there := stored[key]; {
		case !there:
			found = append(found, fmt.Sprintf("data key %q is removed", key))
		case !bytes.Equal(value, wanted[key]):
			found = append(found, fmt.Sprintf("data key %q is changed", key))
		}
	}
	return found
}

// Cleared returns the Secret that ClearPatch should result in.
func Cleared(token *v1alpha1.PipesToken) *corev1.Secret {
	cleared := New(token, Content{Data: placeholder(token)})
	cleared.Annotations = desiredAnnotations(token, nil)
	return cleared
}

// Damaged reports whether something that the operator needs is missing or different: the data
// and the type, the facts beside the token, the labels of the operator, or the owner. Labels
// and annotations of the template do not count.
func Damaged(stored, wanted *corev1.Secret) bool {
	needed := wanted.DeepCopy()
	maps.DeleteFunc(needed.Labels,
		func(key, _ string) bool { return key != v1alpha1.ManagedByLabel && key != v1alpha1.TokenLabel })
	maps.DeleteFunc(needed.Annotations, func(key, _ string) bool { return !slices.Contains(factAnnotations, key) })
	return len(Differences(stored, needed)) > 0
}

// HoldsMore reports whether stored has data that a cleared Secret does not keep. The token may
// then still be in the Secret.
func HoldsMore(stored, cleared *corev1.Secret) bool {
	return !maps.EqualFunc(stored.Data, cleared.Data, bytes.Equal)
}

// Relabelled returns the Secret that MetadataPatch should result in. Its data is nil, because
// the patch does not touch the data.
func (s Secret) Relabelled(token *v1alpha1.PipesToken) *corev1.Secret {
	relabelled := New(token, Content{Facts: s.Facts})
	if s.State != Intact {
		relabelled.Annotations = desiredAnnotations(token, nil)
	}
	return relabelled
}
