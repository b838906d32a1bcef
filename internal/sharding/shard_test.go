package sharding

import (
	"maps"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// A shard whose cache is stale must not remove the labels from an object that the sharder has
// assigned to another shard in the meantime.
func TestAShardLetsGoOfAnObjectAsItWasSeen(t *testing.T) {
	shard := Ring("r", "a")
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	given := map[string]string{ringShardPrefix + "r": "a", ringDrainPrefix + "r": "", "team": "ai"}
	token := &v1alpha1.PipesToken{ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: "alice", UID: "uid", Labels: given}}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(token).Build()
	stored := func() *v1alpha1.PipesToken {
		t.Helper()
		found := &v1alpha1.PipesToken{}
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(token), found); err != nil {
			t.Fatal(err)
		}
		return found
	}
	stale, moved := stored(), stored()
	moved.Labels = map[string]string{ringShardPrefix + "r": "b", "team": "ai"}
	if err := api.Update(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	if err := shard.release(t.Context(), api, stale); !apierrors.IsConflict(err) {
		t.Errorf("got %v, want a conflict", err)
	}
	if got := stored().Labels; !maps.Equal(got, moved.Labels) {
		t.Errorf("labels are %v", got)
	}

	moved = stored()
	moved.Labels = given
	if err := api.Update(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	if err := shard.release(t.Context(), api, stored()); err != nil {
		t.Error(err)
	}
	if got := stored().Labels; !maps.Equal(got, map[string]string{"team": "ai"}) {
		t.Errorf("labels are %v", got)
	}
}

func TestAShardKeepsTheLabelsThatItLooksAt(t *testing.T) {
	given := map[string]string{ringShardPrefix + "r": "a", ringDrainPrefix + "r": "", ringDrainPrefix + "another": "", "team": "ai"}
	if got := (Shard{}).RingLabels(given); got != nil {
		t.Errorf("without a ring: %v", got)
	}
	if got := Ring("r", "a").RingLabels(given); !maps.Equal(got, map[string]string{ringShardPrefix + "r": "a", ringDrainPrefix + "r": ""}) {
		t.Errorf("in a ring: %v", got)
	}
	if len(given) != 4 {
		t.Error("the labels that were given have changed")
	}
}
