package tokensecret

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// Content is the token that a Secret holds: its data, and the facts that are written beside it.
type Content struct {
	Facts Facts
	Data  map[string][]byte
}

// New is the Secret to create for token. Creating it, rather than applying it, lets the API server say when the name is taken.
func New(token *v1alpha1.PipesToken, content Content) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Name:            token.TargetSecretName(),
			Namespace:       token.Namespace,
			Labels:          desiredLabels(token),
			Annotations:     desiredAnnotations(token, content.Facts.annotations()),
			OwnerReferences: []metav1.OwnerReference{controllerReference(token)},
		},
		Type: secretType(token),
		Data: content.Data,
	}
}

// operation is one of a JSON patch (RFC 6902). A strategic merge patch would do but for one thing: it cannot replace data that is
// not there, and drops what it was to be replaced by.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// WritePatch is a JSON patch that replaces the data of the Secret by content, and of its metadata only what is ours. Of an
// Altered or Orphaned Secret it also takes over the ownership of the data: writing the very bytes that somebody else has
// written would not, and the Secret would look altered for ever.
func (s Secret) WritePatch(token *v1alpha1.PipesToken, content Content) ([]byte, error) {
	patch := append(s.metadataPatch(token, content.Facts.annotations()), operation{"add", "/data", content.Data})
	if s.State == Altered || s.State == Orphaned {
		patch = append(patch, operation{"add", "/metadata/managedFields", claim(s.Meta.ManagedFields, content)})
	}
	if s.State == Orphaned {
		references := append(slices.Clone(s.Meta.OwnerReferences), controllerReference(token))
		// The type cannot be changed: one that is not the template's is refused, rather than kept in silence.
		patch = append(patch, operation{"add", "/metadata/ownerReferences", references}, operation{"add", "/type", secretType(token)})
	}
	return json.Marshal(s.decidedOn(patch))
}

// ClearPatch is a JSON patch that removes the token from the Secret, and keeps the Secret. It
// writes no label and no annotation of the template: a token has to go even while the template is
// one that must not be used.
func (s Secret) ClearPatch(token *v1alpha1.PipesToken) ([]byte, error) {
	patch := append(
		changes("/metadata/labels", s.Meta.Labels, ownLabels(token), nil),
		changes("/metadata/annotations", s.Meta.Annotations, map[string]string{}, factKeys())...)
	return json.Marshal(s.decidedOn(append(patch, operation{"add", "/data", placeholder(token)})))
}

// ClearDataPatch is a JSON patch that removes the token from this very Secret, whatever else somebody
// has changed in it meanwhile, but for its owners. What stands beside the token stays for ClearPatch.
func (s Secret) ClearDataPatch(token *v1alpha1.PipesToken) ([]byte, error) {
	patch := []operation{{"test", "/metadata/uid", s.Meta.UID}}
	if len(s.Meta.OwnerReferences) > 0 {
		patch = append(patch, operation{"test", "/metadata/ownerReferences", s.Meta.OwnerReferences})
	}
	return json.Marshal(append(patch, operation{"add", "/data", placeholder(token)}))
}

// placeholder is the data of a Secret without a token: a Secret of a type that the API server allows only with certain keys keeps
// such a key.
func placeholder(token *v1alpha1.PipesToken) map[string][]byte {
	switch secretType(token) {
	case corev1.SecretTypeDockerConfigJson:
		return map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{}}`)}
	case corev1.SecretTypeBasicAuth:
		return map[string][]byte{corev1.BasicAuthPasswordKey: {}}
	default:
		return map[string][]byte{}
	}
}

// MetadataPatch is a JSON patch that brings our labels and annotations up to date and leaves the token alone. It is nil when they
// are.
func (s Secret) MetadataPatch(token *v1alpha1.PipesToken) ([]byte, error) {
	var facts map[string]string
	if s.State == Intact {
		facts = s.Facts.annotations()
	}
	patch := s.metadataPatch(token, facts)
	if len(patch) == 0 {
		return nil, nil
	}
	return json.Marshal(s.decidedOn(patch))
}

// decidedOn adds the resourceVersion that the patch was decided on, so that the API server refuses it once the Secret has moved on.
func (s Secret) decidedOn(patch []operation) []operation {
	return append(patch, operation{"replace", "/metadata/resourceVersion", s.Meta.ResourceVersion})
}

func (s Secret) metadataPatch(token *v1alpha1.PipesToken, facts map[string]string) []operation {
	ours, _ := ownership(s.Meta.ManagedFields)
	mayRemove := factKeys()
	mayRemove.add(ours.Metadata.Annotations)
	return append(
		changes("/metadata/labels", s.Meta.Labels, desiredLabels(token), ours.Metadata.Labels),
		changes("/metadata/annotations", s.Meta.Annotations, desiredAnnotations(token, facts), mayRemove)...)
}

// factKeys are the annotations that go with a token.
func factKeys() keySet {
	keys := keySet{}
	for _, key := range slices.Concat(factAnnotations, adviceAnnotations) {
		keys.add(keySet{key: {}})
	}
	return keys
}

// changes turns have, at path, into want, removing only keys of mayRemove. It replaces the whole map, because an operation on one
// key of a map that somebody has removed meanwhile fails as invalid, before the API server looks at the resourceVersion.
func changes(path string, have, want map[string]string, mayRemove keySet) []operation {
	become := maps.Clone(want)
	for key, value := range have {
		if _, wanted := want[key]; !wanted && !mayRemove.has(key) {
			become[key] = value
		}
	}
	if maps.Equal(have, become) {
		return nil
	}
	return []operation{{"add", path, become}}
}

// claim rewrites managedFields so that we, and nobody else, own the data and the facts of content. An API server takes over
// the entries that a write brings along before it notes what the write itself has changed. Entries that cannot be read own
// nothing and are left out.
func claim(entries []metav1.ManagedFieldsEntry, content Content) []any {
	facts := content.Facts.annotations()
	ours, _ := ownership(entries)
	claimed := make([]any, 0, len(entries)+1)
	for _, entry := range entries {
		var fields map[string]any
		if entry.Manager == FieldManager || entry.FieldsV1 == nil || json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		delete(fields, "f:data")
		if metadata, ok := fields["f:metadata"].(map[string]any); ok {
			if annotations, ok := metadata["f:annotations"].(map[string]any); ok {
				maps.DeleteFunc(annotations, func(key string, _ any) bool {
					_, fact := facts[strings.TrimPrefix(key, "f:")]
					return fact
				})
			}
		}
		claimed = append(claimed, withFields(entry, fields))
	}
	return append(claimed, withFields(metav1.ManagedFieldsEntry{
		Manager: FieldManager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1",
	}, map[string]any{
		"f:data": fieldNames(maps.Keys(content.Data)),
		"f:metadata": map[string]any{
			"f:annotations": fieldNames(maps.Keys(ours.Metadata.Annotations), maps.Keys(facts)),
			"f:labels":      fieldNames(maps.Keys(ours.Metadata.Labels)),
		},
	}))
}

// fieldNames is the field set of a map with these keys.
func fieldNames(keys ...iter.Seq[string]) map[string]any {
	names := map[string]any{self: struct{}{}}
	for _, seq := range keys {
		for key := range seq {
			if key != self {
				names["f:"+key] = struct{}{}
			}
		}
	}
	return names
}

func withFields(entry metav1.ManagedFieldsEntry, fields map[string]any) any {
	return map[string]any{
		"manager": entry.Manager, "operation": entry.Operation, "apiVersion": entry.APIVersion,
		"subresource": entry.Subresource, "time": entry.Time, "fieldsType": entry.FieldsType, "fieldsV1": fields,
	}
}

func desiredLabels(token *v1alpha1.PipesToken) map[string]string {
	labels := map[string]string{}
	if token.Spec.SecretTemplate != nil {
		for key, value := range token.Spec.SecretTemplate.Labels {
			labels[key] = string(value)
		}
	}
	maps.Copy(labels, ownLabels(token))
	return labels
}

// ownLabels mark the Secret as one of the operator and of this PipesToken.
func ownLabels(token *v1alpha1.PipesToken) map[string]string {
	return map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue, v1alpha1.TokenLabel: labelValue(token.Name)}
}

func desiredAnnotations(token *v1alpha1.PipesToken, facts map[string]string) map[string]string {
	annotations := map[string]string{}
	if token.Spec.SecretTemplate != nil {
		for key, value := range token.Spec.SecretTemplate.Annotations {
			annotations[key] = string(value)
		}
	}
	maps.Copy(annotations, facts)
	return annotations
}

// labelValue is the name, or a hash of it when it is longer than the 63 characters of a label value. No name has an underscore in it,
// so that no PipesToken has the label of another.
func labelValue(name string) string {
	const longest = 63
	if len(name) <= longest {
		return name
	}
	return "sha256_" + hashOf(name)
}

// controllerReference makes garbage collection delete the Secret with the PipesToken. It does not block the deletion of
// the PipesToken: that would ask for rights on its finalizers.
func controllerReference(token *v1alpha1.PipesToken) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "PipesToken",
		Name: token.Name, UID: token.UID, Controller: ptr.To(true),
	}
}

func secretType(token *v1alpha1.PipesToken) corev1.SecretType {
	if token.Spec.SecretTemplate == nil || token.Spec.SecretTemplate.Type == "" {
		return corev1.SecretTypeOpaque
	}
	return corev1.SecretType(token.Spec.SecretTemplate.Type)
}
