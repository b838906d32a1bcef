package tokensecret_test

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// FuzzCompile: no template that the CRD lets through makes the operator panic, writes without bound, or gets the token into an
// error.
func FuzzCompile(f *testing.F) {
	for _, text := range []string{
		"machine github.com password {{ .AccessToken }}\n",
		`{"auths": {"example.com": {"password": {{ toJson .AccessToken }}}}}`,
		`{{ if .OrganizationID }}{{ join "," .Scopes | b64enc | quote }}{{ else with .ExpiresAt }}{{ . | urlquery }}{{ end }}`,
		"{{ $x := .Slug }}{{ $x = b64enc $x }}{{- $x -}}{{/* c */}}",
		"{{ range .Scopes }}{{ break }}{{ end }}", `{{ define "k" }}{{ template "k" }}{{ end }}`, `{{ block "k" . }}{{ end }}`,
		"{{ . | b64enc | b64enc | b64enc }}", "{{ (index .Scopes 0).X }}", "{{ nil }}", "{{ 1i }}{{ 'a' }}{{ 0x1p-2 }}{{ true }}{{ `raw` }}", "{{",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 8192 { // the CRD's bound
			return
		}
		spec := specOf(map[string]string{"k": text})
		template, err := tokensecret.Compile(spec)
		if err != nil {
			return
		}
		if again, err := tokensecret.Compile(spec); err != nil || again.Hash() != template.Hash() {
			t.Errorf("compiled again: %v", err)
		}
		for _, values := range []tokensecret.Values{values(), bare()} {
			data, err := template.Render(values)
			if err != nil {
				expectNoToken(t, err.Error(), canary)
			}
			if len(data["k"]) > maxValue || err == nil && len(data) != 1 {
				t.Errorf("%d keys, of %d bytes", len(data), len(data["k"]))
			}
		}
	})
}

// FuzzObserve: no metadata that a Secret may come with make the operator panic, and what it writes then is JSON, and in
// proportion.
func FuzzObserve(f *testing.F) {
	const ours = `{"f:data":{".":{},"f:access_token":{},"f:expires_at":{},"f:scopes":{}},"f:metadata":{"f:annotations":{".":{},` +
		`"f:pipes.workos.com/expires-at":{},"f:pipes.workos.com/missing-scopes":{},"f:pipes.workos.com/obtained-at":{},` +
		`"f:pipes.workos.com/scopes":{},"f:pipes.workos.com/template-hash":{},"f:pipes.workos.com/token-hash":{}},` +
		`"f:ownerReferences":{".":{},"k:{\"uid\":\"uid-alice\"}":{}}},"f:type":{}}`
	for _, seed := range [][6]string{
		{ours, `{}`, "2026-11-23T14:00:00Z", `["repo"]`, "github-alice", "uid-alice"},
		{ours, `{"f:data":{"f:access_token":{}}}`, "never", `[]`, "github-alice", "uid-alice"},
		{`{"f:data":null,"f:metadata":{"f:annotations":[]}}`, `null`, "", `{}`, "", "uid-alice"},
		{`{"f:data":{"":{},"f":{},"f:":{},".":1}}`, `[]`, "9999-12-31T23:59:59+23:59", `null`, "github-alice", ""},
		{`{`, `{"f:metadata":1}`, "0000-01-01T00:00:00Z", `[1]`, "github-bob", "uid-bob"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4], seed[5])
	}
	f.Fuzz(func(t *testing.T, ours, others, expires, scopes, label, uid string) {
		template, token := defaults(t), alice()
		given := content(t, template, simple())
		meta := &metav1.PartialObjectMetadata{ObjectMeta: *tokensecret.New(token, given).ObjectMeta.DeepCopy()}
		meta.ResourceVersion = "7"
		meta.Labels[v1alpha1.TokenLabel] = label
		meta.Annotations[tokensecret.ExpiresAtAnnotation], meta.Annotations[tokensecret.ScopesAnnotation] = expires, scopes
		if meta.OwnerReferences[0].UID = types.UID(uid); uid == "" {
			meta.OwnerReferences = nil
		}
		meta.ManagedFields = []metav1.ManagedFieldsEntry{
			{Manager: tokensecret.FieldManager, FieldsV1: metav1.NewFieldsV1(ours)}, {Manager: "other", FieldsV1: metav1.NewFieldsV1(others)},
		}
		before := meta.DeepCopy().String()

		seen := tokensecret.Observe(meta, token, template)
		write, err := seen.WritePatch(token, given)
		expectPatch(t, write, err)
		cleared, err := seen.ClearPatch(token)
		expectPatch(t, cleared, err)
		metadata, err := seen.MetadataPatch(token)
		if metadata != nil || err != nil {
			expectPatch(t, metadata, err)
		}
		// Strings grow when they are written as JSON, sixfold at worst; and what the patch adds is small.
		if most := 4096 + 6*(len(ours)+len(others)+len(expires)+len(scopes)+len(label)+len(uid)); len(write) > most {
			t.Errorf("the patch has %d bytes, more than %d", len(write), most)
		}
		if meta.String() != before {
			t.Error("the metadata, which belong to a cache, have been changed")
		}
	})
}

func expectPatch(t *testing.T, patch []byte, err error) {
	t.Helper()
	if err != nil || !json.Valid(patch) || !strings.Contains(string(patch), `{"op":"replace","path":"/metadata/resourceVersion","value":"7"}`) {
		t.Errorf("got %v with %s", err, patch)
	}
}
