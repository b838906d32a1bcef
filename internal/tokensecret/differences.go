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

// Differences names what the API server stored otherwise than the operator wrote it, in a stable
// order: admission can remove or change anything. It never quotes a value. What admission added is
// no difference, except in the data of a Secret that has to hold no token.
//
// wanted is what New, Cleared or Relabelled returned. Data nil: the write did not touch the data.
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

// Cleared is the Secret as ClearPatch means to leave it.
func Cleared(token *v1alpha1.PipesToken) *corev1.Secret {
	cleared := New(token, Content{Data: placeholder(token)})
	cleared.Annotations = desiredAnnotations(token, nil)
	return cleared
}

// Damaged says whether something is missing or different that the operator needs to keep the Secret: its data
// and type, the facts beside the token, its labels, and the owner. Labels and annotations that the
// template adds are not among that.
func Damaged(stored, wanted *corev1.Secret) bool {
	needed := wanted.DeepCopy()
	maps.DeleteFunc(needed.Labels, func(key, _ string) bool { return key != v1alpha1.ManagedByLabel && key != v1alpha1.TokenLabel })
	maps.DeleteFunc(needed.Annotations, func(key, _ string) bool { return !slices.Contains(factAnnotations, key) })
	return len(Differences(stored, needed)) > 0
}

// HoldsMore says whether stored has data beyond what a cleared Secret keeps: then the token may still be in it.
func HoldsMore(stored, cleared *corev1.Secret) bool {
	return !maps.EqualFunc(stored.Data, cleared.Data, bytes.Equal)
}

// Relabelled is the Secret as MetadataPatch means to leave it. Its data is nil: the patch does not touch it.
func (s Secret) Relabelled(token *v1alpha1.PipesToken) *corev1.Secret {
	relabelled := New(token, Content{Facts: s.Facts})
	if s.State != Intact {
		relabelled.Annotations = desiredAnnotations(token, nil)
	}
	return relabelled
}
