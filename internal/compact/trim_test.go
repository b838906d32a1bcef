package compact

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/refresh"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func defaults(t *testing.T) *tokensecret.Template {
	t.Helper()
	template, err := tokensecret.Compile(v1alpha1.PipesTokenSpec{})
	if err != nil {
		t.Fatal(err)
	}
	return template
}

// synced returns the status of a PipesToken whose Secret holds a valid token.
func synced(token *v1alpha1.PipesToken) v1alpha1.PipesTokenStatus {
	at := func(after time.Duration) *metav1.Time { return new(metav1.NewTime(noon.Add(after))) }
	status := v1alpha1.PipesTokenStatus{
		ObservedGeneration: token.Generation, Binding: &v1alpha1.SecretReference{Name: token.Name},
		EnvironmentRef:  &v1alpha1.EnvironmentReference{Namespace: "pipes-system", Name: "default"},
		LastRefreshTime: at(0), RenewalTime: at(50 * time.Minute), ExpirationTime: at(time.Hour),
		Conditions: []metav1.Condition{
			conditions.New(v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.TokenSyncedReason,
				fmt.Sprintf("Secret %q holds a valid token", token.Name)),
			conditions.New(v1alpha1.ConnectedCondition, metav1.ConditionTrue, v1alpha1.ConnectedReason,
				"WorkOS returned a token for this user"),
			conditions.New(v1alpha1.ScopesGrantedCondition, metav1.ConditionTrue, v1alpha1.AllScopesGrantedReason,
				"The user has granted every scope that the integration asks for"),
		},
	}
	conditions.Complete(status.Conditions, nil, token.Generation, noon)
	return status
}

// stored returns a PipesToken that was applied with kubectl, and the metadata of its Secret, as
// the API server returns them.
func stored(t *testing.T, n int) (token *v1alpha1.PipesToken, secret *metav1.PartialObjectMetadata) {
	t.Helper()
	token = &v1alpha1.PipesToken{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("github-%06d", n), Namespace: fmt.Sprintf("tenant-%03d", n%100), UID: "8d1b3a52-6f0c-4c6b-9a54-1f0f0a6f7c11",
			ResourceVersion: fmt.Sprint(100000 + n), Generation: 1, Labels: map[string]string{"team": "a"},
			Annotations:   map[string]string{"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("x", 400)},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)}},
		},
		Spec: v1alpha1.PipesTokenSpec{Slug: "github", UserID: fmt.Sprintf("user_01EHZNVPK3SFK441A1R%06d", n), OrganizationID: "org_01EHZNVPK3SFK441A1RGBFSHRT"},
	}
	token.Status = synced(token)
	created := tokensecret.New(token, tokensecret.Content{Facts: tokensecret.Facts{
		ObtainedAt: noon, ExpiresAt: noon.Add(time.Hour), TemplateHash: defaults(t).Hash(), TokenHash: "hash",
	}})
	secret = &metav1.PartialObjectMetadata{ObjectMeta: created.ObjectMeta}
	secret.UID, secret.ResourceVersion = "8d1b3a52-6f0c-4c6b-9a54-1f0f0a6f7c12", fmt.Sprint(200000+n)
	annotations := map[string]any{".": struct{}{}}
	for key := range created.Annotations {
		annotations["f:"+key] = struct{}{}
	}
	fields := map[string]any{
		"f:data": map[string]any{".": struct{}{}, "f:access_token": struct{}{}, "f:expires_at": struct{}{}, "f:scopes": struct{}{}},
		"f:metadata": map[string]any{
			"f:annotations":     annotations,
			"f:labels":          map[string]any{".": struct{}{}, "f:app.kubernetes.io/managed-by": struct{}{}, "f:pipes.workos.com/token": struct{}{}},
			"f:ownerReferences": map[string]any{".": struct{}{}, `k:{"uid":"` + string(token.UID) + `"}`: struct{}{}},
		},
		"f:type": struct{}{},
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	now := metav1.Now()
	secret.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: tokensecret.FieldManager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &now, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(text)),
	}}
	return token, secret
}

// The fields that the caches omit must not change any decision or write.
func TestTheCachesKeepWhatIsUsed(t *testing.T) {
	token, secret := stored(t, 1)
	token.Annotations[v1alpha1.RefreshRequestedAtAnnotation] = "now"
	template := defaults(t)
	whole := tokensecret.Observe(secret.DeepCopy(), token.DeepCopy(), template)
	trimmedToken, err := trimToken(sharding.Shard{})(token.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	trimmedSecret, err := trimSecret(secret.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	kept := trimmedToken.(*v1alpha1.PipesToken)
	if refresh.Request(kept) != "now" || len(kept.Annotations) != 1 || !reflect.DeepEqual(kept.Spec, token.Spec) || !reflect.DeepEqual(kept.Status, token.Status) {
		t.Errorf("kept %+v", kept)
	}
	seen := tokensecret.Observe(unpack(trimmedSecret.(*metav1.PartialObjectMetadata)), kept, template)
	if whole.State != tokensecret.Intact || seen.State != whole.State || !reflect.DeepEqual(seen.Facts, whole.Facts) {
		t.Errorf("seen %s with %+v, and whole %s with %+v", seen.State, seen.Facts, whole.State, whole.Facts)
	}
	for name, patch := range map[string]func(tokensecret.Secret) ([]byte, error){
		"write": func(s tokensecret.Secret) ([]byte, error) {
			return s.WritePatch(token, tokensecret.Content{Facts: whole.Facts, Data: map[string][]byte{"access_token": nil}})
		},
		"write over what was altered": func(s tokensecret.Secret) ([]byte, error) {
			s.State = tokensecret.Altered
			return s.WritePatch(token, tokensecret.Content{Facts: whole.Facts, Data: map[string][]byte{"access_token": nil}})
		},
		"clear": func(s tokensecret.Secret) ([]byte, error) { return s.ClearPatch(token) },
	} {
		ofWhole, err := patch(whole)
		ofTrimmed, trimmedErr := patch(seen)
		if err != nil || trimmedErr != nil || string(ofWhole) != string(ofTrimmed) {
			t.Errorf("%s: %s, and of the whole %s", name, ofTrimmed, ofWhole)
		}
	}
}

// Fields that others have written are kept unchanged.
func TestTheCachesKeepWhatOthersHaveWritten(t *testing.T) {
	token, secret := stored(t, 1)
	secret.ManagedFields = append(secret.ManagedFields, metav1.ManagedFieldsEntry{Manager: "kubectl", FieldsV1: metav1.NewFieldsV1(`{"f:type":{}}`)})
	secret.Labels["team"], secret.Annotations["note"] = "a", "b"
	trimmed, err := trimSecret(secret.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	if kept := tokensecret.Observe(unpack(trimmed.(*metav1.PartialObjectMetadata)), token, nil).Meta; !reflect.DeepEqual(kept, secret) {
		t.Errorf("kept %+v", kept)
	}
}

// This test guards the heap bytes that a PipesToken and its Secret take in the caches. Untrimmed,
// they took 2,180 and 2,540 bytes.
//
// The test uses one thread and no garbage collection, so that the figures are the same each time:
// equal strings are not shared if a collection happens between them, and each thread fills its
// blocks of small strings in its own order.
func TestTheCachesAreSmall(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const count = 5000
	var tokens, secrets [][]byte
	for n := range count {
		token, secret := stored(t, n)
		tokens, secrets = append(tokens, encoded(t, token)), append(secrets, encoded(t, secret))
	}
	for name, test := range map[string]struct {
		texts [][]byte
		empty func() client.Object
		trim  func(any) (any, error)
		most  uint64
	}{
		"a PipesToken":           {tokens, func() client.Object { return &v1alpha1.PipesToken{} }, trimToken(sharding.Shard{}), 1200},
		"the metadata of Secret": {secrets, func() client.Object { return &metav1.PartialObjectMetadata{} }, trimSecret, 700},
	} {
		kept := make([]any, 0, count)
		before := heapInUse()
		for _, text := range test.texts {
			object := test.empty()
			if err := json.Unmarshal(text, object); err != nil {
				t.Fatal(err)
			}
			trimmed, err := test.trim(object)
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, trimmed)
		}
		each := (heapInUse() - before) / count
		t.Logf("%s: %d bytes", name, each)
		if each > test.most {
			t.Errorf("%s takes %d bytes, more than %d", name, each, test.most)
		}
		runtime.KeepAlive(kept)
	}
}

func encoded(t *testing.T, object any) []byte {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
