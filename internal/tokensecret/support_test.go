package tokensecret_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// alice returns a PipesToken with the changes applied.
func alice(change ...func(*v1alpha1.PipesToken)) *v1alpha1.PipesToken {
	token := &v1alpha1.PipesToken{
		ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: "github-alice", UID: "uid-alice"},
		Spec:       v1alpha1.PipesTokenSpec{Slug: "github", UserID: "user_alice"},
	}
	for _, f := range change {
		f(token)
	}
	return token
}

func withTemplate(template v1alpha1.SecretTemplate) func(*v1alpha1.PipesToken) {
	return func(t *v1alpha1.PipesToken) { t.Spec.SecretTemplate = &template }
}

// content returns a token in the form that is written with template.
func content(t *testing.T, template *tokensecret.Template, values tokensecret.Values) tokensecret.Content {
	t.Helper()
	data, err := template.Render(values)
	if err != nil {
		t.Fatal(err)
	}
	return tokensecret.Content{Data: data, Facts: tokensecret.Facts{
		ExpiresAt: values.ExpiresAt, ObtainedAt: expiry.Add(-time.Hour), TemplateHash: template.Hash(),
		TokenHash: tokensecret.HashToken("uid-alice", values.Token), Scopes: values.Scopes,
	}}
}

func defaults(t *testing.T) *tokensecret.Template {
	t.Helper()
	return compile(t, nil)
}

// simple returns a token whose data are easy to read in base64: YQ==.
func simple() tokensecret.Values {
	return tokensecret.Values{Token: redact.NewString("a"), ExpiresAt: expiry, Scopes: []string{"repo"}}
}

// entry is one entry of managedFields: a manager, and the keys that it owns.
type entry struct {
	manager                   string
	apply                     bool
	data, annotations, labels []string
	// raw replaces the field set that is built from the lists.
	raw string
}

func (e entry) managed() metav1.ManagedFieldsEntry {
	raw := e.raw
	if raw == "" {
		text, _ := json.Marshal(map[string]any{
			"f:data": fieldsOf(e.data),
			"f:type": map[string]any{},
			"f:metadata": map[string]any{
				"f:annotations":     fieldsOf(e.annotations),
				"f:labels":          fieldsOf(e.labels),
				"f:ownerReferences": map[string]any{".": map[string]any{}, `k:{"uid":"uid-alice"}`: map[string]any{}},
			},
		})
		raw = string(text)
	}
	operation := metav1.ManagedFieldsOperationUpdate
	if e.apply {
		operation = metav1.ManagedFieldsOperationApply
	}
	return metav1.ManagedFieldsEntry{
		Manager: e.manager, Operation: operation, APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(raw),
		Time: ptr.To(metav1.NewTime(expiry.Add(-time.Hour))),
	}
}

func fieldsOf(keys []string) map[string]any {
	fields := map[string]any{".": map[string]any{}}
	for _, key := range keys {
		fields["f:"+key] = map[string]any{}
	}
	return fields
}

// cluster is the state of one Secret in the API server, as far as its metadata show it.
type cluster struct {
	meta    *metav1.PartialObjectMetadata
	entries []entry
}

// written returns the Secret as it is just after the operator has created it.
func written(token *v1alpha1.PipesToken, content tokensecret.Content) *cluster {
	secret := tokensecret.New(token, content)
	meta := &metav1.PartialObjectMetadata{ObjectMeta: *secret.ObjectMeta.DeepCopy()}
	meta.UID, meta.ResourceVersion = "uid-secret", "7"
	return &cluster{meta: meta, entries: []entry{{
		manager: tokensecret.FieldManager, data: sortedKeys(content.Data),
		annotations: sortedKeys(secret.Annotations), labels: sortedKeys(secret.Labels),
	}}}
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// disown removes the keys from every manager that owns them.
func (c *cluster) disown(list func(*entry) *[]string, keys ...string) {
	for i := range c.entries {
		owned := list(&c.entries[i])
		*owned = slices.DeleteFunc(slices.Clone(*owned), func(key string) bool { return slices.Contains(keys, key) })
	}
}

// take makes manager the owner of the keys, as a write by that manager does.
func (c *cluster) take(manager string, list func(*entry) *[]string, keys ...string) {
	c.disown(list, keys...)
	taken := entry{manager: manager}
	*list(&taken) = keys
	c.entries = append(c.entries, taken)
}

func dataOf(e *entry) *[]string        { return &e.data }
func annotationsOf(e *entry) *[]string { return &e.annotations }
func labelsOf(e *entry) *[]string      { return &e.labels }

// annotate does the same as "kubectl annotate". The value "" removes the annotation.
func (c *cluster) annotate(key, value string) {
	if value == "" {
		delete(c.meta.Annotations, key)
		c.disown(annotationsOf, key)
		return
	}
	c.meta.Annotations[key] = value
	c.take("kubectl", annotationsOf, key)
}

// label does the same as "kubectl label". The value "" removes the label.
func (c *cluster) label(key, value string) {
	if value == "" {
		delete(c.meta.Labels, key)
		c.disown(labelsOf, key)
		return
	}
	c.meta.Labels[key] = value
	c.take("kubectl", labelsOf, key)
}

// observed returns the Secret as the operator observes it.
func (c *cluster) observed(token *v1alpha1.PipesToken, template *tokensecret.Template) tokensecret.Secret {
	if c.entries != nil {
		c.meta.ManagedFields = nil
		for _, e := range c.entries {
			c.meta.ManagedFields = append(c.meta.ManagedFields, e.managed())
		}
	}
	return tokensecret.Observe(c.meta, token, template)
}

// compileTemplate compiles the template of a PipesToken with OAuth.
func compileTemplate(spec *v1alpha1.SecretTemplate, allowedMetadata ...string) (*tokensecret.Template, error) {
	return tokensecret.Compile(v1alpha1.PipesTokenSpec{SecretTemplate: spec, AuthMethod: v1alpha1.AuthMethodOAuth}, allowedMetadata...)
}
