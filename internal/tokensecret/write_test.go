package tokensecret_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// simpleFacts and simpleData belong to the token simple(), on a Secret of alice() with the
// default keys. version is the precondition of every patch.
const (
	simpleFacts = `"pipes.workos.com/expires-at": "2026-11-23T14:00:00Z",
		"pipes.workos.com/missing-scopes": "[]",
		"pipes.workos.com/obtained-at": "2026-11-23T13:00:00Z",
		"pipes.workos.com/scopes": "[\"repo\"]",
		"pipes.workos.com/template-hash": "3214a48d5aff0165d959e40417ceb4a0",
		"pipes.workos.com/token-hash": "3ed4ecba1d7faf207fb5784c86dabb86",
		"pipes.workos.com/upstream-lead": "unknown"`
	simpleData = `{"op": "add", "path": "/data", "value": {
		"access_token": "YQ==", "expires_at": "MjAyNi0xMS0yM1QxNDowMDowMFo=", "scopes": "cmVwbw=="}}`
	version = `{"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}`
)

// expectJSON compares JSON and ignores white space.
func expectJSON(t *testing.T, got []byte, want string) {
	t.Helper()
	if pretty(t, got) != pretty(t, []byte(want)) {
		t.Errorf("got %s\nwant %s", pretty(t, got), pretty(t, []byte(want)))
	}
}

func pretty(t *testing.T, text []byte) string {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	out := &bytes.Buffer{}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// noError returns a function that takes the results of a patch method. It fails the test on an
// error.
func noError(t *testing.T) func([]byte, error) []byte {
	t.Helper()
	return func(patch []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return patch
	}
}

func TestNewIsTheWholeSecret(t *testing.T) {
	for name, test := range map[string]struct {
		token *v1alpha1.PipesToken
		want  string
	}{
		"by default": {alice(), `{
			"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
			"metadata": {
				"name": "github-alice", "namespace": "agents",
				"labels": {"app.kubernetes.io/managed-by": "pipes-operator", "pipes.workos.com/token": "github-alice"},
				"annotations": {` + simpleFacts + `},
				"ownerReferences": [{
					"apiVersion": "pipes.workos.com/v1alpha1", "kind": "PipesToken", "name": "github-alice", "uid": "uid-alice",
					"controller": true}]
			},
			"data": {"access_token": "YQ==", "expires_at": "MjAyNi0xMS0yM1QxNDowMDowMFo=", "scopes": "cmVwbw=="}}`},
		"as the template says, but for what is ours": {alice(func(t *v1alpha1.PipesToken) { t.Spec.SecretName = "other" }, withTemplate(v1alpha1.SecretTemplate{
			Type: v1alpha1.SecretTypeBasicAuth,
			Labels: map[string]v1alpha1.LabelValue{
				"team": "ai", "empty": "", v1alpha1.ManagedByLabel: "Helm", v1alpha1.TokenLabel: "github-bob"},
			Annotations: map[string]v1alpha1.AnnotationValue{
				"note": "{{ .AccessToken }}", tokensecret.ExpiresAtAnnotation: "never"},
		})), `{
			"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth",
			"metadata": {
				"name": "other", "namespace": "agents",
				"labels": {
					"app.kubernetes.io/managed-by": "pipes-operator", "pipes.workos.com/token": "github-alice", "team": "ai", "empty": ""},
				"annotations": {"note": "{{ .AccessToken }}", ` + simpleFacts + `},
				"ownerReferences": [{
					"apiVersion": "pipes.workos.com/v1alpha1", "kind": "PipesToken", "name": "github-alice", "uid": "uid-alice",
					"controller": true}]
			},
			"data": {"access_token": "YQ==", "expires_at": "MjAyNi0xMS0yM1QxNDowMDowMFo=", "scopes": "cmVwbw=="}}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(tokensecret.New(test.token, content(t, defaults(t), simple())))
			if err != nil {
				t.Fatal(err)
			}
			expectJSON(t, got, test.want)
		})
	}
}

func TestWritePatchReplacesTheDataAndOfTheMetadataOnlyWhatIsOurs(t *testing.T) {
	template := withTemplate(v1alpha1.SecretTemplate{
		Labels:      map[string]v1alpha1.LabelValue{"team": "ai"},
		Annotations: map[string]v1alpha1.AnnotationValue{"note": "x"},
	})
	for name, test := range map[string]struct {
		before, now *v1alpha1.PipesToken
		change      func(*cluster)
		want        string
	}{
		"nothing but the token": {alice(), alice(), func(*cluster) {},
			`[{"op": "add", "path": "/metadata/annotations", "value": {` + simpleFacts + `}}, ` + simpleData + `, ` + version + `]`},
		"a foreign label is not mentioned, a foreign annotation stays": {alice(), alice(), func(c *cluster) {
			c.label("example.com/team", "hr")
			c.annotate("example.com/note", "mine")
		}, `[{"op": "add", "path": "/metadata/annotations", "value": {"example.com/note": "mine", ` + simpleFacts + `}}, ` +
			simpleData + `, ` + version + `]`},
		"the template has got a label and an annotation": {alice(), alice(template), func(c *cluster) {
			c.label("example.com/team", "hr")
		}, `[
			{"op": "add", "path": "/metadata/labels", "value": {"app.kubernetes.io/managed-by": "pipes-operator",
				"pipes.workos.com/token": "github-alice", "example.com/team": "hr", "team": "ai"}},
			{"op": "add", "path": "/metadata/annotations", "value": {"note": "x", ` + simpleFacts + `}}, ` + simpleData + `, ` + version + `]`},
		"the template has lost them": {alice(template), alice(), func(c *cluster) { c.label("example.com/team", "hr") }, `[
			{"op": "add", "path": "/metadata/labels", "value": {"app.kubernetes.io/managed-by": "pipes-operator",
				"pipes.workos.com/token": "github-alice", "example.com/team": "hr"}},
			{"op": "add", "path": "/metadata/annotations", "value": {` + simpleFacts + `}}, ` + simpleData + `, ` + version + `]`},
		"the template has lost what somebody else has taken over": {alice(template), alice(), func(c *cluster) {
			c.label("team", "hr")
			c.annotate("note", "mine")
		}, `[{"op": "add", "path": "/metadata/annotations", "value": {"note": "mine", ` + simpleFacts + `}}, ` + simpleData + `, ` + version + `]`},
		"our labels have been changed": {alice(template), alice(template), func(c *cluster) {
			c.label("team", "hr")
			c.label(v1alpha1.ManagedByLabel, "")
		}, `[
			{"op": "add", "path": "/metadata/labels", "value": {"app.kubernetes.io/managed-by": "pipes-operator",
				"pipes.workos.com/token": "github-alice", "team": "ai"}},
			{"op": "add", "path": "/metadata/annotations", "value": {"note": "x", ` + simpleFacts + `}}, ` + simpleData + `, ` + version + `]`},
		"all labels and annotations have been removed": {alice(), alice(), func(c *cluster) {
			removeFacts(c)
			c.disown(dataOf, "access_token", "expires_at", "scopes")
			c.disown(labelsOf, v1alpha1.ManagedByLabel, v1alpha1.TokenLabel)
			c.meta.Labels, c.meta.Annotations = nil, nil
		}, `[
			{"op": "add", "path": "/metadata/labels", "value": {"app.kubernetes.io/managed-by": "pipes-operator",
				"pipes.workos.com/token": "github-alice"}},
			{"op": "add", "path": "/metadata/annotations", "value": {` + simpleFacts + `}}, ` + simpleData + `, ` + version + `]`},
	} {
		t.Run(name, func(t *testing.T) {
			earlier := simple()
			earlier.Token = bare().Token
			there := written(test.before, content(t, defaults(t), earlier))
			test.change(there)
			patch := noError(t)(there.observed(test.now, defaults(t)).WritePatch(test.now, content(t, defaults(t), simple())))
			expectJSON(t, patch, test.want)
		})
	}
}

// The token and the facts are the same as before, but the patch still replaces the data.
func TestWritePatchOfAnUnchangedSecretStillReplacesTheData(t *testing.T) {
	given := content(t, defaults(t), simple())
	patch := noError(t)(written(alice(), given).observed(alice(), defaults(t)).WritePatch(alice(), given))
	expectJSON(t, patch, `[`+simpleData+`, `+version+`]`)
}

func TestWritePatchClaimsTheDataOfAnAlteredSecret(t *testing.T) {
	token := alice(withTemplate(v1alpha1.SecretTemplate{Annotations: map[string]v1alpha1.AnnotationValue{"note": "x"}}))
	there := written(token, content(t, defaults(t), simple()))
	there.take("kubectl-edit", dataOf, "access_token", "extra")
	there.annotate(tokensecret.ExpiresAtAnnotation, "2036-11-23T14:00:00Z")
	there.annotate("example.com/note", "mine")
	there.label("example.com/team", "hr")
	there.entries = append(there.entries,
		entry{manager: "argocd", apply: true, data: []string{"scopes"}, raw: `{"f:data":{"f:scopes":{}},"f:type":{}}`},
		entry{manager: "broken", raw: `{`},
		entry{manager: "list", raw: `[]`})
	patch := noError(t)(there.observed(token, defaults(t)).WritePatch(token, content(t, defaults(t), simple())))
	const others = `"f:type": {}, "f:metadata": {"f:annotations": {".": {}%s}, "f:labels": {".": {}%s},
		"f:ownerReferences": {".": {}, "k:{\"uid\":\"uid-alice\"}": {}}}`
	foreign := func(manager, annotations, labels string) string {
		fields := strings.Replace(strings.Replace(others, "%s", annotations, 1), "%s", labels, 1)
		return `{"manager": "` + manager + `", "operation": "Update", "apiVersion": "v1", "subresource": "", "time": "2026-11-23T13:00:00Z",
			"fieldsType": "FieldsV1", "fieldsV1": {` + fields + `}}`
	}
	expectJSON(t, patch, `[
		{"op": "add", "path": "/metadata/annotations", "value": {"note": "x", "example.com/note": "mine", `+simpleFacts+`}},
		`+simpleData+`,
		{"op": "add", "path": "/metadata/managedFields", "value": [
			`+foreign("kubectl-edit", "", "")+`,
			`+foreign("kubectl", "", "")+`,
			`+foreign("kubectl", `, "f:example.com/note": {}`, "")+`,
			`+foreign("kubectl", "", `, "f:example.com/team": {}`)+`,
			{"manager": "argocd", "operation": "Apply", "apiVersion": "v1", "subresource": "", "time": "2026-11-23T13:00:00Z",
				"fieldsType": "FieldsV1", "fieldsV1": {"f:type": {}}},
			{"manager": "pipes-operator", "operation": "Update", "apiVersion": "v1", "subresource": "", "time": null,
				"fieldsType": "FieldsV1", "fieldsV1": {
					"f:data": {".": {}, "f:access_token": {}, "f:expires_at": {}, "f:scopes": {}},
					"f:metadata": {
						"f:annotations": {".": {}, "f:note": {}, "f:pipes.workos.com/expires-at": {}, "f:pipes.workos.com/missing-scopes": {},
							"f:pipes.workos.com/obtained-at": {}, "f:pipes.workos.com/scopes": {},
							"f:pipes.workos.com/template-hash": {}, "f:pipes.workos.com/token-hash": {},
							"f:pipes.workos.com/upstream-lead": {}},
						"f:labels": {".": {}, "f:app.kubernetes.io/managed-by": {}, "f:pipes.workos.com/token": {}}}}}
		]}, `+version+`]`)
}

func TestWritePatchTakesAnOrphanOver(t *testing.T) {
	there := written(alice(), content(t, defaults(t), simple()))
	there.meta.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "uid-x"}}
	before := there.meta.DeepCopy()
	patch := noError(t)(there.observed(alice(), defaults(t)).WritePatch(alice(), content(t, defaults(t), simple())))
	var operations []struct {
		Path  string          `json:"path"`
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(patch, &operations); err != nil {
		t.Fatal(err)
	}
	paths := map[string]json.RawMessage{}
	for _, operation := range operations {
		paths[operation.Path] = operation.Value
	}
	if len(paths) != 5 || string(paths["/type"]) != `"Opaque"` || paths["/data"] == nil || paths["/metadata/managedFields"] == nil || paths["/metadata/resourceVersion"] == nil {
		t.Errorf("got %s", patch)
	}
	expectJSON(t, paths["/metadata/ownerReferences"], `[
		{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "uid-x"},
		{"apiVersion": "pipes.workos.com/v1alpha1", "kind": "PipesToken", "name": "github-alice", "uid": "uid-alice", "controller": true}]`)
	if len(there.meta.OwnerReferences) != len(before.OwnerReferences) {
		t.Error("the metadata, which belong to a cache, have been changed")
	}
}

func TestClearPatchRemovesTheTokenAndKeepsTheSecret(t *testing.T) {
	for name, test := range map[string]struct {
		secretType v1alpha1.SecretType
		data       string
	}{
		"Opaque":     {v1alpha1.SecretTypeOpaque, `{}`},
		"no type":    {"", `{}`},
		"basic-auth": {v1alpha1.SecretTypeBasicAuth, `{"password": ""}`},
		// The value is {"auths":{}} in base64.
		"docker config": {v1alpha1.SecretTypeDockerConfigJSON, `{".dockerconfigjson": "eyJhdXRocyI6e319"}`},
	} {
		t.Run(name, func(t *testing.T) {
			token := alice(withTemplate(v1alpha1.SecretTemplate{
				Type: test.secretType, Annotations: map[string]v1alpha1.AnnotationValue{"note": "x"},
			}))
			there := written(token, content(t, defaults(t), simple()))
			there.annotate("example.com/note", "mine")
			there.label("example.com/team", "hr")
			// ClearPatch removes this annotation, whoever owns it.
			there.annotate(tokensecret.TokenHashAnnotation, "tampered")
			expectJSON(t, noError(t)(there.observed(token, defaults(t)).ClearPatch(token)), `[
				{"op": "add", "path": "/metadata/annotations", "value": {"note": "x", "example.com/note": "mine"}},
				{"op": "add", "path": "/data", "value": `+test.data+`}, `+version+`]`)
		})
	}
}

func TestClearPatchIsTheSameWhenTheTemplateIsGone(t *testing.T) {
	there := written(alice(), content(t, defaults(t), simple()))
	expectJSON(t, noError(t)(there.observed(alice(), nil).ClearPatch(alice())), `[
		{"op": "add", "path": "/metadata/annotations", "value": {}}, {"op": "add", "path": "/data", "value": {}}, `+version+`]`)
}

func TestClearPatchWritesNothingOfTheTemplate(t *testing.T) {
	there := written(alice(), content(t, defaults(t), simple()))
	edited := alice(withTemplate(v1alpha1.SecretTemplate{
		Labels:      map[string]v1alpha1.LabelValue{"argocd.argoproj.io/secret-type": "cluster", "app": "x"},
		Annotations: map[string]v1alpha1.AnnotationValue{"replicator.v1.mittwald.de/replicate-from": "pipes-system/workos-api-key"},
	}))
	patch := noError(t)(there.observed(edited, nil).ClearPatch(edited))
	for _, word := range []string{"argocd", "replicator", "app\":"} {
		if strings.Contains(string(patch), word) {
			t.Errorf("%s is in %s", word, patch)
		}
	}
	if !strings.Contains(string(patch), `"path":"/data","value":{}`) {
		t.Errorf("keeps the token: %s", patch)
	}
}

func TestClearPatchKeepsTheLabelsOfTheSecretAndRestoresOurs(t *testing.T) {
	token := alice(withTemplate(v1alpha1.SecretTemplate{
		Labels: map[string]v1alpha1.LabelValue{"app": "x"}, Annotations: map[string]v1alpha1.AnnotationValue{"note": "y"},
	}))
	there := written(token, content(t, defaults(t), simple()))
	delete(there.meta.Labels, v1alpha1.TokenLabel)
	patch := string(noError(t)(there.observed(token, defaults(t)).ClearPatch(token)))
	for _, part := range []string{`"app":"x"`, `"pipes.workos.com/token":"github-alice"`, `{"op":"add","path":"/metadata/annotations","value":{"note":"y"}}`} {
		if !strings.Contains(patch, part) {
			t.Errorf("%s is not in %s", part, patch)
		}
	}
}

func TestMetadataPatch(t *testing.T) {
	template := withTemplate(v1alpha1.SecretTemplate{
		Labels:      map[string]v1alpha1.LabelValue{"team": "ai"},
		Annotations: map[string]v1alpha1.AnnotationValue{"note": "x"},
	})
	cleared := func(c *cluster) {
		removeFacts(c)
		c.disown(dataOf, "access_token", "expires_at", "scopes")
	}
	const ours = `"app.kubernetes.io/managed-by": "pipes-operator", "pipes.workos.com/token": "github-alice"`
	for name, test := range map[string]struct {
		before, now *v1alpha1.PipesToken
		change      func(*cluster)
		want        string
	}{
		"nothing to do":                        {alice(), alice(), func(*cluster) {}, ""},
		"nothing to do with a template":        {alice(template), alice(template), func(*cluster) {}, ""},
		"nothing to do about foreign metadata": {alice(), alice(), func(c *cluster) { c.label("a", "b"); c.annotate("a", "b") }, ""},
		"nothing to do with a cleared one":     {alice(), alice(), cleared, ""},
		"only the template's data has changed": {alice(), alice(withTemplate(*specOf(map[string]string{"a": "b"}))), func(*cluster) {}, ""},
		"a label and an annotation to add": {alice(), alice(template), func(*cluster) {}, `[
			{"op": "add", "path": "/metadata/labels", "value": {` + ours + `, "team": "ai"}},
			{"op": "add", "path": "/metadata/annotations", "value": {"note": "x", ` + simpleFacts + `}}, ` + version + `]`},
		"a label and an annotation to remove": {alice(template), alice(), func(*cluster) {}, `[
			{"op": "add", "path": "/metadata/labels", "value": {` + ours + `}},
			{"op": "add", "path": "/metadata/annotations", "value": {` + simpleFacts + `}}, ` + version + `]`},
		"our label to restore": {alice(), alice(), func(c *cluster) { c.label(v1alpha1.TokenLabel, "other"); c.label("a", "b") }, `[
			{"op": "add", "path": "/metadata/labels", "value": {` + ours + `, "a": "b"}}, ` + version + `]`},
		"a label to add to a cleared one": {alice(), alice(template), cleared, `[
			{"op": "add", "path": "/metadata/labels", "value": {` + ours + `, "team": "ai"}},
			{"op": "add", "path": "/metadata/annotations", "value": {"note": "x"}}, ` + version + `]`},
	} {
		t.Run(name, func(t *testing.T) {
			there := written(test.before, content(t, defaults(t), simple()))
			test.change(there)
			patch := noError(t)(there.observed(test.now, defaults(t)).MetadataPatch(test.now))
			if test.want == "" {
				if patch != nil {
					t.Errorf("got %s, want nothing", patch)
				}
				return
			}
			expectJSON(t, patch, test.want)
		})
	}
}

// One WritePatch repairs the Secret after any change. If it did not take over the ownership,
// the Secret would look altered for ever, and each reconcile would cost a call.
func TestAWrittenPatchMakesTheSecretIntact(t *testing.T) {
	given := content(t, defaults(t), simple())
	for name, change := range map[string]func(*cluster){
		"a value edited": func(c *cluster) { c.take("kubectl", dataOf, "access_token") },
		"a key added":    func(c *cluster) { c.take("kubectl", dataOf, "extra") },
		"a key removed":  func(c *cluster) { c.disown(dataOf, "scopes") },
		"everything applied": func(c *cluster) {
			c.entries = append(c.entries, entry{manager: "argocd", apply: true, data: []string{"access_token", "x"}})
		},
		"a fact edited":          func(c *cluster) { c.annotate(tokensecret.ObtainedAtAnnotation, "2036-11-23T14:00:00Z") },
		"a fact removed":         func(c *cluster) { c.annotate(tokensecret.ScopesAnnotation, "") },
		"all facts removed":      removeFacts,
		"managedFields removed":  func(c *cluster) { c.entries, c.meta.ManagedFields = nil, nil },
		"our entry broken":       func(c *cluster) { c.entries[0].raw = `{"f:data":[` },
		"our entry a list":       func(c *cluster) { c.entries[0].raw = `[]` },
		"another's entry broken": func(c *cluster) { c.annotate("a", "b"); c.disown(dataOf, "scopes"); c.entries[1].raw = `{` },
		"orphaned":               func(c *cluster) { c.meta.OwnerReferences = nil },
		"orphaned and edited":    func(c *cluster) { c.meta.OwnerReferences = nil; c.take("kubectl", dataOf, "access_token") },
		"orphaned, no metadata":  func(c *cluster) { c.meta.OwnerReferences, c.meta.Annotations = nil, nil; c.entries = []entry{} },
	} {
		t.Run(name, func(t *testing.T) {
			there := written(alice(), given)
			change(there)
			seen := there.observed(alice(), defaults(t))
			if seen.State != tokensecret.Altered && seen.State != tokensecret.Orphaned {
				t.Fatalf("got %s before", seen.State)
			}
			patched := apply(t, there.meta, noError(t)(seen.WritePatch(alice(), given)))
			if again := tokensecret.Observe(patched, alice(), defaults(t)); again.State != tokensecret.Intact || !again.Facts.SameToken(given.Facts) {
				t.Errorf("got %s with %+v after it", again.State, again.Facts)
			}
		})
	}
}

// apply applies the metadata part of a JSON patch. The patch replaces whole fields, so no
// operation can miss its path.
func apply(t *testing.T, meta *metav1.PartialObjectMetadata, patch []byte) *metav1.PartialObjectMetadata {
	t.Helper()
	var operations []struct {
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	if err := json.Unmarshal(patch, &operations); err != nil {
		t.Fatal(err)
	}
	changed := map[string]any{}
	for _, operation := range operations {
		if field, ok := strings.CutPrefix(operation.Path, "/metadata/"); ok {
			changed[field] = operation.Value
		}
	}
	text, err := json.Marshal(map[string]any{"metadata": changed})
	if err != nil {
		t.Fatal(err)
	}
	patched := meta.DeepCopy()
	patched.Labels, patched.Annotations = without(changed, "labels", patched.Labels), without(changed, "annotations", patched.Annotations)
	if err := json.Unmarshal(text, patched); err != nil {
		t.Fatal(err)
	}
	return patched
}

// without returns nil if field is replaced, because decoding JSON into a map would merge.
func without(changed map[string]any, field string, value map[string]string) map[string]string {
	if _, ok := changed[field]; ok {
		return nil
	}
	return value
}
