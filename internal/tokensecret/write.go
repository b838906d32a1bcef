package tokensecret

import (
	"encoding/json"
	"iter"
	"maps"
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

// patch is a strategic merge patch: null removes a key, what is not named stays. It carries the resourceVersion that it was
// decided on, so that the API server refuses it once the Secret has moved on.
type patch struct {
	Metadata patchMetadata  `json:"metadata"`
	Data     map[string]any `json:"data,omitempty"`
}

type patchMetadata struct {
	ResourceVersion string                  `json:"resourceVersion"`
	Labels          map[string]*string      `json:"labels,omitempty"`
	Annotations     map[string]*string      `json:"annotations,omitempty"`
	OwnerReferences []metav1.OwnerReference `json:"ownerReferences,omitempty"`
	ManagedFields   []any                   `json:"managedFields,omitempty"`
}

// WritePatch replaces the data of the Secret by content, and of its metadata only what is ours. Of an Altered or Orphaned
// Secret it also takes over the ownership of the data: writing the very bytes that somebody else has written would not, and
// the Secret would look altered for ever.
func (s Secret) WritePatch(token *v1alpha1.PipesToken, content Content) ([]byte, error) {
	p := s.metadataPatch(token, content.Facts.annotations())
	p.Data = replaceData(content.Data)
	if s.State == Altered || s.State == Orphaned {
		p.Metadata.ManagedFields = claim(s.Meta.ManagedFields, content)
	}
	if s.State == Orphaned {
		p.Metadata.OwnerReferences = []metav1.OwnerReference{controllerReference(token)}
	}
	return json.Marshal(p)
}

// ClearPatch removes the token from the Secret, and keeps the Secret.
func (s Secret) ClearPatch(token *v1alpha1.PipesToken) ([]byte, error) {
	p := s.metadataPatch(token, nil)
	p.Data = replaceData(placeholder(token))
	return json.Marshal(p)
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
		return nil
	}
}

// MetadataPatch brings our labels and annotations up to date and leaves the token alone. It is nil when they are.
func (s Secret) MetadataPatch(token *v1alpha1.PipesToken) ([]byte, error) {
	var facts map[string]string
	if s.State == Intact {
		facts = s.Facts.annotations()
	}
	p := s.metadataPatch(token, facts)
	if p.Metadata.Labels == nil && p.Metadata.Annotations == nil {
		return nil, nil
	}
	return json.Marshal(p)
}

func (s Secret) metadataPatch(token *v1alpha1.PipesToken, facts map[string]string) patch {
	ours, _ := ownership(s.Meta.ManagedFields)
	mayRemove := maps.Clone(ours.Metadata.Annotations)
	for _, key := range factAnnotations {
		mayRemove.add(keySet{key: {}})
	}
	return patch{Metadata: patchMetadata{
		ResourceVersion: s.Meta.ResourceVersion,
		Labels:          changes(s.Meta.Labels, desiredLabels(token), ours.Metadata.Labels),
		Annotations:     changes(s.Meta.Annotations, desiredAnnotations(token, facts), mayRemove),
	}}
}

// changes turns have into want, removing only keys of mayRemove. It is nil when there is nothing to do.
func changes(have, want map[string]string, mayRemove keySet) map[string]*string {
	changes := map[string]*string{}
	for key, value := range want {
		if current, ok := have[key]; !ok || current != value {
			changes[key] = ptr.To(value)
		}
	}
	for key := range have {
		if _, wanted := want[key]; !wanted && mayRemove.has(key) {
			changes[key] = nil
		}
	}
	if len(changes) == 0 {
		return nil
	}
	return changes
}

// replaceData is the data of a strategic merge patch that replaces the map instead of merging into it.
func replaceData(data map[string][]byte) map[string]any {
	replaced := map[string]any{"$patch": "replace"}
	for key, value := range data {
		replaced[key] = value
	}
	return replaced
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
	labels[v1alpha1.ManagedByLabel] = v1alpha1.ManagedByValue
	labels[v1alpha1.TokenLabel] = labelValue(token.Name)
	return labels
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

// labelValue is the name, or a hash of it when it is longer than the 63 characters of a label value.
func labelValue(name string) string {
	const longest = 63
	if len(name) <= longest {
		return name
	}
	return hashOf(name)
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
