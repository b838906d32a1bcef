package tokensecret_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

const (
	// longestTemplate is the limit in the CRD.
	longestTemplate = 8192
	// patience bounds the time, and appetite the allocated bytes (freed ones included), that
	// the most expensive template may cost. They are enough for hundreds of calls on values of
	// the maximum length, on a busy machine.
	patience = 10 * time.Second
	appetite = 1 << 30
)

// FuzzCompile checks that no template that the CRD allows makes the operator panic, runs for
// long, writes without limit, or puts the token into an error. A template that compiles gives
// the same result each time.
func FuzzCompile(f *testing.F) {
	f.Add("machine github.com password {{ .AccessToken }}\n", "-suffix", "repo", int64(1_795_442_400))
	f.Fuzz(func(t *testing.T, text, suffix, scope string, expires int64) {
		if len(text) > longestTemplate {
			return
		}
		defer time.AfterFunc(patience, func() { panic("a template runs for ever") }).Stop()
		before := allocated()
		spec := specOf(map[string]string{"k": text})
		template, err := compileTemplate(spec)
		if err == nil {
			expectRendering(t, template, suffix, scope, expires)
			expectSameHash(t, template, text)
		}
		if ate := allocated() - before; ate > appetite {
			t.Errorf("%d bytes were allocated", ate)
		}
	})
}

func allocated() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}

// expectRendering renders for a token that has everything, and for a token that lacks
// everything optional.
func expectRendering(t *testing.T, template *tokensecret.Template, suffix, scope string, expires int64) {
	t.Helper()
	full, lacking := values(), bare()
	full.Token, full.Scopes = redact.NewString(canary+suffix), []string{scope}
	full.ExpiresAt = time.Unix(expires, 0)
	for _, given := range []tokensecret.Values{full, lacking} {
		data, err := template.Render(given)
		again, errAgain := template.Render(given)
		if !reflect.DeepEqual(data, again) || (err == nil) != (errAgain == nil) {
			t.Errorf("rendered %q, then %q; %v, then %v", data, again, err, errAgain)
		}
		if err != nil {
			expectNoToken(t, err.Error(), canary)
			if data != nil {
				t.Errorf("%d keys with an error", len(data))
			}
			continue
		}
		if !slices.Equal(sortedKeys(data), template.Keys(!given.ExpiresAt.IsZero())) || len(data["k"]) > maxValue {
			t.Errorf("keys %q, of which k has %d bytes", sortedKeys(data), len(data["k"]))
		}
	}
}

// expectSameHash checks that the hash depends on all keys and texts, and on nothing else.
func expectSameHash(t *testing.T, template *tokensecret.Template, text string) {
	t.Helper()
	same, err := compileTemplate(specOf(map[string]string{"k": text}))
	if err != nil || same.Hash() != template.Hash() {
		t.Errorf("compiled again: %v", err)
	}
	for _, other := range []map[string]string{{"l": text}, {"k": text + " "}, {"k": text, "l": ""}} {
		if another, err := compileTemplate(specOf(other)); err == nil && another.Hash() == template.Hash() {
			t.Errorf("%q has the same hash", other)
		}
	}
}

// writers returns PipesTokens whose Secrets are cleared in different ways.
func writers() []*v1alpha1.PipesToken {
	of := func(kind v1alpha1.SecretType, key string) *v1alpha1.PipesToken {
		return alice(withTemplate(v1alpha1.SecretTemplate{
			Type: kind, Data: map[string]v1alpha1.DataTemplate{key: "{{ quote .AccessToken }}"},
			Labels: map[string]v1alpha1.LabelValue{"team": "ai"}, Annotations: map[string]v1alpha1.AnnotationValue{"note": "ours"},
		}))
	}
	return []*v1alpha1.PipesToken{
		alice(), of(v1alpha1.SecretTypeBasicAuth, "password"), of(v1alpha1.SecretTypeDockerConfigJSON, ".dockerconfigjson"),
	}
}

// FuzzObserve checks that no metadata of a Secret make the operator panic, or count as intact
// although they are not. It also checks that the patches for these metadata are correct and not
// too large.
func FuzzObserve(f *testing.F) {
	f.Add(`{"f:data":{"f:access_token":{}}}`, `{}`, "never", "2026-11-23T13:00:00Z", `["repo"]`, "hash", "github-alice", "uid-alice", uint8(0))
	f.Fuzz(func(t *testing.T, ours, others, expires, obtained, scopes, hash, label, uid string, writer uint8) {
		token := writers()[int(writer)%len(writers())]
		meta := writtenFor(t, token)
		meta.Annotations[tokensecret.ExpiresAtAnnotation], meta.Annotations[tokensecret.ObtainedAtAnnotation] = expires, obtained
		meta.Annotations[tokensecret.ScopesAnnotation], meta.Annotations[tokensecret.TokenHashAnnotation] = scopes, hash
		meta.Labels[v1alpha1.TokenLabel] = label
		if meta.OwnerReferences[0].UID = types.UID(uid); uid == "" {
			meta.OwnerReferences = nil
		}
		meta.ManagedFields = []metav1.ManagedFieldsEntry{
			{Manager: tokensecret.FieldManager, FieldsV1: metav1.NewFieldsV1(ours)}, {Manager: "other", FieldsV1: metav1.NewFieldsV1(others)},
		}
		expectSound(t, meta, token)
	})
}

// FuzzMetadata is FuzzObserve with all of the metadata given as JSON.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"metadata":{"name":"github-alice","ownerReferences":[{"uid":"uid-alice","controller":true}]}}`), uint8(0))
	f.Fuzz(func(t *testing.T, text []byte, writer uint8) {
		meta := &metav1.PartialObjectMetadata{}
		if json.Unmarshal(text, meta) != nil {
			return
		}
		// Every object from an API server has a resourceVersion.
		meta.ResourceVersion = "7"
		expectSound(t, meta, writers()[int(writer)%len(writers())])
	})
}

// writtenFor returns the metadata of the Secret that was written for token, with a foreign
// label.
func writtenFor(t *testing.T, token *v1alpha1.PipesToken) *metav1.PartialObjectMetadata {
	t.Helper()
	template := templateOf(t, token)
	meta := &metav1.PartialObjectMetadata{ObjectMeta: *tokensecret.New(token, content(t, template, simple())).ObjectMeta.DeepCopy()}
	meta.ResourceVersion, meta.Labels[somebodys] = "7", "else"
	return meta
}

func templateOf(t *testing.T, token *v1alpha1.PipesToken) *tokensecret.Template {
	t.Helper()
	template, err := tokensecret.Compile(token.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return template
}

// expectSound checks the guarantees for everything that is derived from the metadata.
func expectSound(t *testing.T, meta *metav1.PartialObjectMetadata, token *v1alpha1.PipesToken) {
	t.Helper()
	template := templateOf(t, token)
	before := meta.DeepCopy()
	seen := tokensecret.Observe(meta, token, template)
	if again := tokensecret.Observe(meta, token, template); again.State != seen.State || !reflect.DeepEqual(again.Facts, seen.Facts) {
		t.Errorf("observed %s, then %s", seen.State, again.State)
	}
	if ours := slices.ContainsFunc(meta.OwnerReferences, func(owner metav1.OwnerReference) bool {
		return ptr.Deref(owner.Controller, false) && owner.UID == token.UID
	}); seen.IsOurs() && !ours {
		t.Errorf("%s, although it is controlled by %v", seen.State, meta.OwnerReferences)
	}
	if seen.State == tokensecret.Intact {
		expectRoundTrip(t, seen, token, template)
	}
	if seen.State != tokensecret.Foreign {
		expectPatches(t, seen, token, content(t, template, simple()))
	}
	if !reflect.DeepEqual(meta, before) {
		t.Error("the metadata, which belong to a cache, have been changed")
	}
}

// expectRoundTrip checks that the facts of an intact Secret are the same after they are written
// again.
func expectRoundTrip(t *testing.T, seen tokensecret.Secret, token *v1alpha1.PipesToken, template *tokensecret.Template) {
	t.Helper()
	rewritten := seen.Meta.DeepCopy()
	for key, value := range tokensecret.New(token, tokensecret.Content{Facts: seen.Facts}).Annotations {
		// The writer of a new annotation owns it, but these managedFields would not show that.
		if _, there := rewritten.Annotations[key]; there {
			rewritten.Annotations[key] = value
		}
	}
	if again := tokensecret.Observe(rewritten, token, template); again.State != tokensecret.Intact || !reflect.DeepEqual(again.Facts, seen.Facts) {
		t.Errorf("%+v, written anew, is %s with %+v", seen.Facts, again.State, again.Facts)
	}
}

// facts are the annotations that a Secret without a token must not have.
var facts = []string{
	tokensecret.ExpiresAtAnnotation, tokensecret.ObtainedAtAnnotation, tokensecret.TemplateHashAnnotation,
	tokensecret.TokenHashAnnotation, tokensecret.ScopesAnnotation, tokensecret.MissingScopesAnnotation,
	tokensecret.UpstreamLeadAnnotation,
}

// expectPatches applies each patch as an API server does whose Secret has not changed since it
// was observed.
func expectPatches(t *testing.T, seen tokensecret.Secret, token *v1alpha1.PipesToken, given tokensecret.Content) {
	t.Helper()
	patch, err := seen.WritePatch(token, given)
	written := patched(t, seen.Meta, patch, err)
	if len(written.Data) != len(given.Data) {
		t.Errorf("the Secret has %d keys of data, want %d", len(written.Data), len(given.Data))
	}
	// JSON makes a string up to six times longer. Everything else that the patch adds is small.
	if most := 8192 + 12*(len(document(t, seen.Meta))); len(patch) > most {
		t.Errorf("the patch has %d bytes, more than %d", len(patch), most)
	}
	if seen.State == tokensecret.Altered || seen.State == tokensecret.Orphaned {
		// In these states the patch takes over fields that somebody else owned. The next
		// reconcile must find the Secret intact, or it would write the Secret for ever.
		if next := tokensecret.Observe(&written.PartialObjectMetadata, token, templateOf(t, token)); next.State != tokensecret.Intact || !next.Facts.SameToken(given.Facts) {
			t.Errorf("%s, written anew, is %s with %+v", seen.State, next.State, next.Facts)
		}
	}
	patch, err = seen.ClearPatch(token)
	for key := range patched(t, seen.Meta, patch, err).Annotations {
		if slices.Contains(facts, key) {
			t.Errorf("cleared, it still has %s", key)
		}
	}
	if patch, err = seen.MetadataPatch(token); patch != nil || err != nil {
		if relabelled := patched(t, seen.Meta, patch, err); relabelled.Data != nil {
			t.Error("new labels change the data")
		}
	}
}

// secret has the fields of a Secret that patches change.
type secret struct {
	metav1.PartialObjectMetadata `json:",inline"`

	Data map[string][]byte `json:"data"`
}

// patched returns the Secret after the patch. It applies the patch with the library of the API
// server, and checks that it is a JSON patch (RFC 6902) with the observed resourceVersion as
// its precondition. It also checks that the patch leaves the fields of the API server and of
// others alone.
func patched(t *testing.T, meta *metav1.PartialObjectMetadata, patch []byte, err error) secret {
	t.Helper()
	decoded, errDecode := jsonpatch.DecodePatch(patch)
	if err = errors.Join(err, errDecode); err != nil {
		t.Fatalf("%v with %s", err, patch)
	}
	if !strings.Contains(string(patch), `{"op":"replace","path":"/metadata/resourceVersion","value":"7"}`) {
		t.Errorf("a patch without its precondition: %s", patch)
	}
	result, err := decoded.Apply(document(t, meta))
	var after secret
	if err = errors.Join(err, json.Unmarshal(result, &after)); err != nil {
		t.Fatalf("%v with %s", err, patch)
	}
	if after.Name != meta.Name || after.UID != meta.UID || after.ResourceVersion != "7" || !slices.Equal(after.Finalizers, meta.Finalizers) {
		t.Errorf("%s makes %+v of the metadata", patch, after.ObjectMeta)
	}
	if foreign := meta.Labels[somebodys]; after.Labels[v1alpha1.ManagedByLabel] != v1alpha1.ManagedByValue ||
		after.Labels[somebodys] != foreign && !ownsSomebodys(meta) {
		t.Errorf("%s makes the labels %v", patch, after.Labels)
	}
	return after
}

// somebodys is a label that does not belong to the operator.
const somebodys = "somebodys"

// ownsSomebodys reports whether managedFields name the operator as the owner of that label. The
// patch then removes it.
func ownsSomebodys(meta *metav1.PartialObjectMetadata) bool {
	return slices.ContainsFunc(meta.ManagedFields, func(entry metav1.ManagedFieldsEntry) bool {
		return entry.Manager == tokensecret.FieldManager && entry.FieldsV1 != nil && strings.Contains(string(entry.FieldsV1.GetRawBytes()), somebodys)
	})
}

// document returns the object as JSON. It leaves out managedFields entries that are not JSON;
// no API server has them.
func document(t *testing.T, meta *metav1.PartialObjectMetadata) []byte {
	t.Helper()
	readable := meta.DeepCopy()
	readable.ManagedFields = slices.DeleteFunc(readable.ManagedFields, func(entry metav1.ManagedFieldsEntry) bool {
		return entry.FieldsV1 != nil && !json.Valid(entry.FieldsV1.GetRawBytes())
	})
	text, err := json.Marshal(readable)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
