//go:build reliability

package tenancy_test

import (
	"maps"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// object returns an object with this spec, to which changes are merged. Both are YAML.
func object(kind, namespace, name, spec, changes string) *unstructured.Unstructured {
	GinkgoHelper()
	made := &unstructured.Unstructured{Object: map[string]any{"spec": merged(parse(spec), parse(changes))}}
	made.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	made.SetNamespace(namespace)
	made.SetName(name)
	return made
}

func parse(text string) map[string]any {
	GinkgoHelper()
	parsed := map[string]any{}
	Expect(yaml.Unmarshal([]byte(text), &parsed)).To(Succeed(), text)
	return parsed
}

// merged changes a spec as "kubectl patch --type=merge" does: null removes a field.
func merged(spec, changes map[string]any) map[string]any {
	result := maps.Clone(spec)
	if result == nil {
		result = map[string]any{}
	}
	for key, change := range changes {
		old, _ := result[key].(map[string]any)
		switch change := change.(type) {
		case nil:
			delete(result, key)
		case map[string]any:
			result[key] = merged(old, change)
		default:
			result[key] = change
		}
	}
	return result
}

// field returns a field of the spec; empty if the field is absent or not a string.
func field(object *unstructured.Unstructured, name string) string {
	text, _, _ := unstructured.NestedString(object.Object, "spec", name)
	return text
}

// reload reads the current state of an object.
func (w *world) reload(object client.Object) *unstructured.Unstructured {
	GinkgoHelper()
	kind, err := root.GroupVersionKindFor(object)
	Expect(err).NotTo(HaveOccurred())
	seen := &unstructured.Unstructured{}
	seen.SetGroupVersionKind(kind)
	Expect(root.Get(w.ctx, client.ObjectKeyFromObject(object), seen)).To(Succeed())
	return seen
}

// readyOf returns the Ready condition, or nil.
func readyOf(object *unstructured.Unstructured) map[string]any {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, c := range conditions {
		if condition := c.(map[string]any); condition["type"] == v1alpha1.ReadyCondition {
			return condition
		}
	}
	return nil
}

// setSpec sets a field of a spec.
func setSpec(object client.Object, field string, value any) {
	GinkgoHelper()
	Expect(unstructured.SetNestedField(object.(*unstructured.Unstructured).Object, value, "spec", field)).To(Succeed())
}

// secretOf returns the Secret of that name in the tenant's namespace, or nil if it does not
// exist.
func (w *world) secretOf(name string) *corev1.Secret {
	GinkgoHelper()
	secret := &corev1.Secret{}
	err := root.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, secret)
	if client.IgnoreNotFound(err) == nil && err != nil {
		return nil
	}
	Expect(err).NotTo(HaveOccurred())
	return secret
}

// editSecret changes a Secret as the tenant, and waits until the operator has reconciled the
// PipesToken. If token is nil, it does not wait.
func (w *world) editSecret(name string, token client.Object, change func(*corev1.Secret)) {
	GinkgoHelper()
	secret := newSecret(w.namespace, name, nil)
	edit := func() { Expect(w.edit(w.editor, secret, func() { change(secret) })).To(Succeed()) }
	if token == nil {
		edit()
		return
	}
	w.afterPass(token, edit)
}
