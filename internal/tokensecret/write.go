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

// Content is the token that a Secret holds: its data, and the facts that are written beside the
// token.
type Content struct {
	Facts Facts
	Data  map[string][]byte
}

// New returns the Secret to create for token. The operator creates the Secret instead of
// applying it, so that the API server reports a name that is taken.
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

// operation is one operation of a JSON patch (RFC 6902). A strategic merge patch is not enough:
// it cannot replace data that does not exist, and drops the replacement.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// WritePatch returns a JSON patch that replaces the data of the Secret by content, and only our
// part of the metadata. For an Altered or Orphaned Secret it also takes over the ownership of
// the data. Without that, a write of the same bytes that somebody else has written would leave
// the ownership unchanged, and the Secret would look altered for ever.
func (s Secret) WritePatch(token *v1alpha1.PipesToken, content Content) ([]byte, error) {
	patch := append(s.metadataPatch(token, content.Facts.annotations()), operation{"add", "/data", content.Data})
	if s.State == Altered || s.State == Orphaned {
		patch = append(patch, operation{"add", "/metadata/managedFields", claim(s.Meta.ManagedFields, content)})
	}
	if s.State == Orphaned {
		references := append(slices.Clone(s.Meta.OwnerReferences), controllerReference(token))
		// The type cannot be changed. If it differs from the type of the template, the API
		// server rejects the patch. Without this operation the wrong type would stay unnoticed.
		patch = append(patch,
			operation{"add", "/metadata/ownerReferences", references},
			operation{"add", "/type", secretType(token)})
	}
	return json.Marshal(s.decidedOn(patch))
}

// ClearPatch returns a JSON patch that removes the token from the Secret and keeps the Secret.
// It writes no label and no annotation of the template, because the token must go even if the
// template must not be used.
func (s Secret) ClearPatch(token *v1alpha1.PipesToken) ([]byte, error) {
	patch := append(
		changes("/metadata/labels", s.Meta.Labels, ownLabels(token), nil),
		changes("/metadata/annotations", s.Meta.Annotations, map[string]string{}, factKeys())...)
	return json.Marshal(s.decidedOn(append(patch, operation{"add", "/data", placeholder(token)})))
}

// ClearDataPatch returns a JSON patch that removes the token from exactly this Secret, even if
// somebody else has changed it meanwhile, unless the owners have changed. It leaves the facts
// beside the token for ClearPatch.
func (s Secret) ClearDataPatch(token *v1alpha1.PipesToken) ([]byte, error) {
	patch := []operation{{"test", "/metadata/uid", s.Meta.UID}}
	if len(s.Meta.OwnerReferences) > 0 {
		patch = append(patch, operation{"test", "/metadata/ownerReferences", s.Meta.OwnerReferences})
	}
	return json.Marshal(append(patch, operation{"add", "/data", placeholder(token)}))
}

// placeholder returns the data of a Secret without a token. If the API server requires a
// certain key for the type of the Secret, the data have that key.
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

// MetadataPatch returns a JSON patch that updates our labels and annotations and leaves the
// token alone. It returns nil if they are up to date.
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

// decidedOn adds the resourceVersion that the patch is based on, so that the API server rejects
// the patch if the Secret has changed since.
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

// factKeys returns the annotations that belong to a token.
func factKeys() keySet {
	keys := keySet{}
	for _, key := range Annotations() {
		keys.add(keySet{key: {}})
	}
	return keys
}

// changes returns the operations that turn have, at path, into want. They remove only keys of
// mayRemove. They replace the whole map. If somebody has removed the map meanwhile, an
// operation on one key fails as invalid before the API server checks the resourceVersion.
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

// claim returns managedFields in which we, and nobody else, own the data and the facts of
// content. The API server first takes over the entries that a write contains, and then records
// the changes of the write itself. Entries that cannot be read own nothing and are left out.
func claim(entries []metav1.ManagedFieldsEntry, content Content) []any {
	facts := content.Facts.annotations()
	ours, _ := ownership(entries)
	claimed := make([]any, 0, len(entries)+1)
	for _, entry := range entries {
		var fields map[string]any
		if entry.Manager == FieldManager || entry.FieldsV1 == nil ||
			json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
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

// fieldNames returns the field set of a map with these keys.
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

// ownLabels returns the labels that mark the Secret as one of the operator and of this
// PipesToken.
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

// labelValue returns the name, or its hash if the name is longer than the 63 characters of a
// label value. No name contains an underscore, so no PipesToken has the label of another.
func labelValue(name string) string {
	const longest = 63
	if len(name) <= longest {
		return name
	}
	return "sha256_" + hashOf(name)
}

// controllerReference makes garbage collection delete the Secret with the PipesToken. It does
// not block the deletion of the PipesToken, because that needs rights on the finalizers of the
// PipesToken.
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
