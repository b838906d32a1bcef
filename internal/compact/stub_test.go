package compact

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// fill returns size bytes of text that differ for each n.
func fill(n, size int) string {
	text := fmt.Sprintf("%06d", n)
	return strings.Repeat(text, size/len(text)+1)[:size]
}

// flood has the ways in which users can put bytes into the metadata of any object.
var flood = map[string]func(meta *metav1.ObjectMeta, n int){
	"annotations of 250 kB": func(meta *metav1.ObjectMeta, n int) {
		meta.Annotations = with(meta.Annotations, "note", fill(n, 250_000))
	},
	"3,000 labels": func(meta *metav1.ObjectMeta, n int) {
		for i := range 3000 {
			meta.Labels = with(meta.Labels, fmt.Sprintf("label-%d-%d", n, i), fill(n, 63))
		}
	},
	"1,000 owners": func(meta *metav1.ObjectMeta, n int) {
		for i := range 1000 {
			meta.OwnerReferences = append(meta.OwnerReferences, metav1.OwnerReference{
				APIVersion: "v1", Kind: "ConfigMap", Name: fmt.Sprintf("owner-%d-%d", n, i), UID: "8d1b3a52-6f0c-4c6b-9a54-1f0f0a6f7c13"})
		}
	},
	"an owner with a name of 200 kB": func(meta *metav1.ObjectMeta, n int) {
		isController := true
		meta.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: fill(n, 200_000), UID: "u", Controller: &isController}}
	},
	"1,000 finalizers": func(meta *metav1.ObjectMeta, n int) {
		for i := range 1000 {
			meta.Finalizers = append(meta.Finalizers, fmt.Sprintf("example.com/finalizer-%d-%d", n, i))
		}
	},
	"managedFields with 2,800 keys, as pipes-operator": func(meta *metav1.ObjectMeta, n int) {
		meta.ManagedFields = []metav1.ManagedFieldsEntry{manyFields(tokensecret.FieldManager, n)}
	},
	"managedFields with 2,800 keys, as kubectl": func(meta *metav1.ObjectMeta, n int) {
		meta.ManagedFields = append(meta.ManagedFields, manyFields("kubectl", n))
	},
	"managedFields of 200 managers": func(meta *metav1.ObjectMeta, n int) {
		for i := range 200 {
			meta.ManagedFields = append(meta.ManagedFields, metav1.ManagedFieldsEntry{
				Manager: fmt.Sprintf("manager-%d-%d", n, i), FieldsV1: metav1.NewFieldsV1(`{"f:type":{}}`)})
		}
	},
}

func with(texts map[string]string, key, value string) map[string]string {
	if texts == nil {
		texts = map[string]string{}
	}
	texts[key] = value
	return texts
}

func manyFields(manager string, n int) metav1.ManagedFieldsEntry {
	keys := map[string]struct{}{}
	for i := range 2800 {
		keys["f:"+fill(n, 220)+fmt.Sprintf("%010d", i)] = struct{}{}
	}
	text, _ := json.Marshal(map[string]any{"f:data": keys})
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1",
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(text))}
}

// tokenFlood has further ways for PipesTokens. Only the operator writes a status, but WorkOS
// determines its content.
var tokenFlood = map[string]func(token *v1alpha1.PipesToken, n int){
	"a template of 64 KiB": func(token *v1alpha1.PipesToken, n int) { token.Spec.SecretTemplate = templateOf(n, 64<<10) },
	"a template just small enough": func(token *v1alpha1.PipesToken, n int) {
		token.Spec.SecretTemplate = templateOf(n, mostTokenBytes-tokenBytes(token)-6*perPair-100)
		if tokenBytes(token) > mostTokenBytes {
			panic("it is too large")
		}
	},
	"a refresh request of 200 kB": func(token *v1alpha1.PipesToken, n int) {
		token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: fill(n, 200_000)}
	},
	"256 scopes of 512 characters, and as many missing": func(token *v1alpha1.PipesToken, n int) {
		for i := range 256 {
			token.Status.Scopes = append(token.Status.Scopes, fill(n+i, 512))
			token.Status.MissingScopes = append(token.Status.MissingScopes, fill(n-i, 512))
		}
	},
	"conditions of somebody else": func(token *v1alpha1.PipesToken, n int) {
		for i := range 4 {
			token.Status.Conditions = append(token.Status.Conditions, conditions.New(fmt.Sprint("Theirs", i), metav1.ConditionTrue, "Said", fill(n, 32_000)))
		}
	},
	"the longest names": longestNames,
	"the longest names and messages": func(token *v1alpha1.PipesToken, n int) {
		longestNames(token, n)
		for i := range token.Status.Conditions {
			token.Status.Conditions[i].Message, token.Status.Conditions[i].Reason = fill(n+i, 1200), fill(n+i, 1000)
		}
	},
	"the longest names and a template": func(token *v1alpha1.PipesToken, n int) {
		longestNames(token, n)
		token.Spec.SecretTemplate = templateOf(n, 64<<10)
	},
}

func longestNames(token *v1alpha1.PipesToken, n int) {
	token.Name, token.Namespace = fill(n, 253), fill(n, 63)
	token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: fill(n, 300)}
	token.Spec.Slug, token.Spec.UserID, token.Spec.OrganizationID = fill(n, 128), fill(n+1, 128), fill(n+2, 128)
	token.Spec.SecretName, token.Spec.EnvironmentRef = fill(n, 253), &v1alpha1.EnvironmentReference{Name: fill(n, 253), Namespace: fill(n, 63)}
	token.Status.LastHandledRefreshRequest = fill(n, 256)
	token.Status.Binding = &v1alpha1.SecretReference{Name: token.Spec.SecretName}
}

// templateOf returns a template with a label, an annotation and four keys of data.
func templateOf(n, size int) *v1alpha1.SecretTemplate {
	template := &v1alpha1.SecretTemplate{
		Labels: map[string]v1alpha1.LabelValue{"a": "b"}, Annotations: map[string]v1alpha1.AnnotationValue{"a": "b"},
		Data: map[string]v1alpha1.DataTemplate{},
	}
	for i := range 4 {
		template.Data[fmt.Sprint("key", i)] = v1alpha1.DataTemplate(fill(n, size/4))
	}
	return template
}

// A PipesToken takes at most 4 KiB in the cache, and the metadata of a Secret or Namespace takes
// less, whatever users put into them.
func TestAnObjectTakesLittleInTheCachesWhateverIsInIt(t *testing.T) {
	for name, change := range flood {
		expectSmall(t, "PipesToken: "+name, 4096, trimToken(sharding.Shard{}), func(n int) client.Object {
			token, _ := stored(t, n)
			change(&token.ObjectMeta, n)
			return token
		})
		expectSmall(t, "Secret: "+name, 3584, trimSecret, func(n int) client.Object {
			_, secret := stored(t, n)
			change(&secret.ObjectMeta, n)
			return secret
		})
		expectSmall(t, "Namespace: "+name, 3584, trimNamespace, func(n int) client.Object {
			namespace := Namespace()
			namespace.Name = fmt.Sprint("tenant-", n)
			change(&namespace.ObjectMeta, n)
			return namespace
		})
	}
	expectSmall(t, "Secret: annotations just short enough", 3584, trimSecret, func(n int) client.Object {
		_, secret := stored(t, n)
		secret.Annotations["note"] = fill(n, 1300)
		if cached, err := trimSecret(secret.DeepCopy()); err != nil || isStub(cached.(metav1.Object)) {
			t.Fatalf("it is a stub: %v", err)
		}
		return secret
	})
	for name, change := range tokenFlood {
		expectSmall(t, "PipesToken: "+name, 4096, trimToken(sharding.Shard{}), func(n int) client.Object {
			token, _ := stored(t, n)
			change(token, n)
			return token
		})
	}
}

// expectSmall measures live bytes on the heap. TestTheCachesAreSmall explains why it uses one
// thread.
func expectSmall(t *testing.T, name string, most uint64, trim func(any) (any, error), made func(n int) client.Object) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		defer debug.SetGCPercent(debug.SetGCPercent(100))
		const count = 16
		kept := make([]any, 0, count)
		before := heapInUse()
		for n := range count {
			text := encoded(t, made(1000+n))
			object := reflect.New(reflect.TypeOf(made(0)).Elem()).Interface()
			if err := json.Unmarshal(text, object); err != nil {
				t.Fatal(err)
			}
			trimmed, err := trim(object)
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, trimmed)
		}
		each := (heapInUse() - before) / count
		t.Logf("%d bytes", each)
		if each > most {
			t.Errorf("%d bytes, more than %d", each, most)
		}
		runtime.KeepAlive(kept)
	})
}

// Secrets that were created and deleted must leave little in memory.
func TestSecretsThatAreGoneLeaveLittleBehind(t *testing.T) {
	const most = 8 << 20
	before := heapInUse()
	for n := range 160 {
		_, secret := stored(t, n)
		secret.ManagedFields = []metav1.ManagedFieldsEntry{manyFields(tokensecret.FieldManager, n)}
		if _, err := trimSecret(secret); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 5000 {
		_, secret := stored(t, n)
		secret.ManagedFields[0].FieldsV1 = metav1.NewFieldsV1(fmt.Sprintf(`{"f:data":{"f:%s":{}}}`, fill(n, 7000)))
		if _, err := trimSecret(secret); err != nil {
			t.Fatal(err)
		}
	}
	if left := int64(heapInUse()) - int64(before); left > most {
		t.Errorf("%d bytes are left, more than %d", left, most)
	}
}

// api has one object of each kind that can be a stub. It stands for the API server or for the
// cache.
type api struct {
	client.Client
	objects map[string]client.Object
	reads   int
}

func (a *api) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	a.reads++
	object, ok := a.objects[fmt.Sprintf("%T", into)]
	if !ok {
		return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("pipestokens").GroupResource(), "gone")
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(object.DeepCopyObject()).Elem())
	return nil
}

func apiWith(objects ...client.Object) *api {
	a := &api{objects: map[string]client.Object{}}
	for _, object := range objects {
		a.objects[fmt.Sprintf("%T", object)] = object
	}
	return a
}

func trimmedBy(t *testing.T, trim func(any) (any, error), object client.Object) client.Object {
	t.Helper()
	trimmed, err := trim(object.DeepCopyObject())
	if err != nil {
		t.Fatal(err)
	}
	return trimmed.(client.Object)
}

func TestAPipesTokenThatTheCacheHoldsAsAStubIsReadLive(t *testing.T) {
	whole, _ := stored(t, 1)
	whole.Spec.SecretTemplate = templateOf(1, 64<<10)
	whole.Finalizers = []string{"example.com/keep"}
	cached := trimmedBy(t, trimToken(sharding.Shard{}), whole)
	live := apiWith(whole)
	reader := NewReader(apiWith(cached), live, nil, sharding.Shard{})

	got := &v1alpha1.PipesToken{}
	if err := reader.Get(t.Context(), client.ObjectKeyFromObject(whole), got); err != nil {
		t.Fatal(err)
	}
	if isStub(got) || !reflect.DeepEqual(got.Spec, whole.Spec) || !reflect.DeepEqual(got.Status, whole.Status) || got.UID != whole.UID {
		t.Errorf("got %+v", got)
	}
	if len(got.ManagedFields) != 0 || len(got.Annotations) != 0 {
		t.Errorf("what nothing uses was kept: %+v", got.ObjectMeta)
	}
	if err := reader.Get(t.Context(), client.ObjectKeyFromObject(whole), got, client.UnsafeDisableDeepCopy); err != nil || !isStub(got) || live.reads != 1 {
		t.Errorf("a handler gets what the cache holds: %v, %d live reads", err, live.reads)
	}
}

func TestAStubTellsWhatHandlersAndIndexesLookAt(t *testing.T) {
	token, _ := stored(t, 1)
	longestNames(token, 1)
	token.Spec.SecretTemplate = templateOf(1, 64<<10)
	stub := trimmedBy(t, trimToken(sharding.Ring("ring", "one")), token).(*v1alpha1.PipesToken)
	if !isStub(stub) || stub.TargetSecretName() != token.TargetSecretName() || stub.Generation != token.Generation ||
		stub.ResourceVersion != token.ResourceVersion || !reflect.DeepEqual(stub.Spec.EnvironmentRef, token.Spec.EnvironmentRef) {
		t.Errorf("the stub is %+v", stub)
	}
	if ready := conditions.Ready(stub.Status.Conditions); ready.Reason != v1alpha1.TokenSyncedReason || !stub.Status.ExpirationTime.Equal(token.Status.ExpirationTime) {
		t.Errorf("a watch for expired tokens does not see that it is ready: %+v", stub.Status)
	}
	token.Annotations[v1alpha1.RefreshRequestedAtAnnotation] = "again"
	next := trimmedBy(t, trimToken(sharding.Shard{}), token)
	key := v1alpha1.RefreshRequestedAtAnnotation
	if stub.Annotations[key] == next.GetAnnotations()[key] || next.GetAnnotations()[key] == "again" {
		t.Errorf("another request has the same digest %q, or is kept as it is", next.GetAnnotations()[key])
	}
}

func TestAPipesTokenThatHasMovedToAnotherShardIsNotFound(t *testing.T) {
	shard := sharding.Selected(labels.SelectorFromSet(labels.Set{"shard": "one"}))
	whole, _ := stored(t, 1)
	whole.Labels, whole.Spec.SecretTemplate = map[string]string{"shard": "one"}, templateOf(1, 64<<10)
	cached := trimmedBy(t, trimToken(shard), whole)
	whole.Labels["shard"] = "two"
	err := NewReader(apiWith(cached), apiWith(whole), nil, shard).Get(t.Context(), client.ObjectKeyFromObject(whole), &v1alpha1.PipesToken{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

func TestLabelsOfANamespaceThatTheCacheHoldsAsAStubAreReadLive(t *testing.T) {
	whole := Namespace()
	whole.Name = "tenant"
	flood["3,000 labels"](&whole.ObjectMeta, 1)
	cached := trimmedBy(t, trimNamespace, whole)
	got := Namespace()
	if err := NewReader(apiWith(cached), apiWith(whole), nil, sharding.Shard{}).Get(t.Context(), client.ObjectKey{Name: "tenant"}, got); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got.Labels, whole.Labels) {
		t.Errorf("got %d labels, want %d", len(got.Labels), len(whole.Labels))
	}
	whole.Labels["label-1-0"] = "changed"
	if next := trimmedBy(t, trimNamespace, whole); maps.Equal(next.GetLabels(), cached.GetLabels()) {
		t.Error("a changed label does not show in the stub")
	}
}

// The cache holds a digest of a long list of scopes. The same scopes are no change of the status,
// and other scopes are a change.
func TestAStatusWithLongScopesIsComparedByTheirDigest(t *testing.T) {
	token, _ := stored(t, 1)
	tokenFlood["256 scopes of 512 characters, and as many missing"](token, 1)
	want := *token.Status.DeepCopy()
	cached := trimmedBy(t, trimToken(sharding.Shard{}), token).(*v1alpha1.PipesToken)
	if isStub(cached) || len(cached.Status.Scopes) != 1 {
		t.Fatalf("the cache holds %d scopes", len(cached.Status.Scopes))
	}
	if !SameStatus(want, cached.Status) || !SameStatus(want, token.Status) {
		t.Error("the same scopes are another status")
	}
	want.Scopes[7] = "another"
	if SameStatus(want, cached.Status) {
		t.Error("another scope is the same status")
	}
}

func TestALargeSecretIsAStubThatNamesItsController(t *testing.T) {
	token, secret := stored(t, 1)
	secret.Annotations["note"] = fill(1, 250_000)
	stub := trimmedBy(t, trimSecret, secret).(*metav1.PartialObjectMetadata)
	controller := metav1.GetControllerOf(stub)
	if !isStub(stub) || stub.UID != secret.UID || stub.ResourceVersion != secret.ResourceVersion ||
		controller == nil || controller.UID != token.UID || stub.Labels[v1alpha1.TokenLabel] != token.Name {
		t.Errorf("the stub is %+v", stub)
	}
}

// The labels of a PipesEnvironment determine which shard writes its status.
func TestACachedPipesEnvironmentStaysInItsShard(t *testing.T) {
	selector, err := labels.Parse("team notin (b),shard=one")
	if err != nil {
		t.Fatal(err)
	}
	environment := &v1alpha1.PipesEnvironment{ObjectMeta: metav1.ObjectMeta{Name: "e", Labels: map[string]string{"shard": "one", "team": "a", "more": "c"}}}
	for name, shard := range map[string]sharding.Shard{"all": {}, "selected": sharding.Selected(selector), "another": sharding.Selected(labels.SelectorFromSet(labels.Set{"shard": "two"}))} {
		whole := environment.DeepCopy()
		flood["annotations of 250 kB"](&whole.ObjectMeta, 1)
		cached := trimmedBy(t, trimEnvironment(shard), whole)
		if shard.Has(cached) != shard.Has(environment) || len(cached.GetAnnotations()) != 0 || cached.GetLabels()["more"] != "" {
			t.Errorf("%s: cached %+v", name, cached)
		}
	}
}
