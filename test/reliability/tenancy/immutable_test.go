//go:build reliability

package tenancy_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// bare omits every field that can be omitted. full sets all fields that cannot change.
const (
	bare = `{environmentRef: null, userID: user_victim}`
	full = `{organizationID: org_1, secretName: mine, secretTemplate: {type: Opaque}}`
)

var _ = DescribeTable("Changing a PipesToken once it is granted", func(spec, change, says string) {
	w := newWorld(all)
	token := w.pipesToken("mine", spec)
	w.connect(token)
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectLookedAt(token)
	patch, err := yaml.YAMLToJSON([]byte(`{spec: ` + change + `}`))
	Expect(err).NotTo(HaveOccurred())
	w.refused(byAPIServer(says), func() (client.Object, error) {
		return nil, w.editor.Patch(w.ctx, token, client.RawPatch(types.MergePatchType, patch))
	})
},
	attack("T5", "the user", full, `{userID: user_victim}`, `userID is immutable`),
	attack("T5", "the slug", full, `{slug: slack}`, `slug is immutable`),
	attack("T5", "the case of the slug", full, `{slug: GitHub}`, `slug is immutable`),
	attack("T5", "the organization", full, `{organizationID: org_2}`, `organizationID is immutable`),
	attack("T5", "the organization, away", full, `{organizationID: null}`, `organizationID cannot be added or removed`),
	attack("T5", "an organization, later", bare, `{organizationID: org_1}`, `organizationID cannot be added or removed`),
	attack("T5", "the PipesEnvironment", full, `{environmentRef: {name: private, namespace: neighbour}}`, `environmentRef is immutable`),
	attack("T5", "the namespace of the PipesEnvironment, away", full, `{environmentRef: {namespace: null}}`, `environmentRef is immutable`),
	attack("T5", "the PipesEnvironment, away", full, `{environmentRef: null}`, `environmentRef cannot be added or removed`),
	attack("T5", "a PipesEnvironment, later", bare, `{environmentRef: {name: private, namespace: neighbour}}`, `environmentRef cannot be added or removed`),
	attack("T5", "the Secret", full, `{secretName: workos-api-key}`, `secretName is immutable`),
	attack("T5", "the Secret, away", full, `{secretName: null}`, `secretName cannot be added or removed`),
	attack("T5", "a Secret, later", bare, `{secretName: workos-api-key}`, `secretName cannot be added or removed`),
	attack("T5", "the type", full, `{secretTemplate: {type: kubernetes.io/basic-auth, data: {password: x}}}`, `secretTemplate.type is immutable`),
	attack("T5", "a type, later", bare, `{secretTemplate: {type: kubernetes.io/basic-auth, data: {password: x}}}`, `secretTemplate.type is immutable`),
)

var _ = DescribeTable("Changing the user by another verb", func(write func(w *world, token *unstructured.Unstructured) error) {
	w := newWorld(all)
	token := w.synced("mine", full)
	w.refused(byAPIServer(`userID is immutable`), func() (client.Object, error) {
		changed := w.reload(token)
		Expect(unstructured.SetNestedField(changed.Object, "user_victim", "spec", "userID")).To(Succeed())
		return nil, write(w, changed)
	})
},
	attack("T5", "update", func(w *world, token *unstructured.Unstructured) error { return w.editor.Update(w.ctx, token) }),
	attack("T5", "server-side apply, by force", func(w *world, token *unstructured.Unstructured) error {
		token.SetManagedFields(nil)
		return w.editor.Apply(w.ctx, client.ApplyConfigurationFromUnstructured(token), client.ForceOwnership, client.FieldOwner("attacker"))
	}),
	attack("T5", "JSON patch", func(w *world, token *unstructured.Unstructured) error {
		return w.editor.Patch(w.ctx, token, client.RawPatch(types.JSONPatchType, []byte(`[{"op": "replace", "path": "/spec/userID", "value": "user_victim"}]`)))
	}),
)
