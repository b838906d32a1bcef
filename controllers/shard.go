package controllers

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Labels and prefixes of labels of https://github.com/timebertt/kubernetes-controller-sharding, docs/implement-sharding.md. What follows
// a prefix is the name of a ControllerRing.
const (
	// RingLabel is the label of a shard's Lease that names its ControllerRing.
	RingLabel = "alpha.sharding.timebertt.dev/controllerring"
	// ringShardPrefix begins the label that names the shard of an object.
	ringShardPrefix = "shard.alpha.sharding.timebertt.dev/"
	// ringDrainPrefix begins the label that asks the shard to let go of an object.
	ringDrainPrefix = "drain.alpha.sharding.timebertt.dev/"
)

// Shard is the part of all PipesTokens that one operator looks after, by their labels. The zero Shard is all of them. Whatever
// shard a PipesToken moves to goes on from what stands in its status and beside the token in its Secret, as a process does that has
// just started: it makes no call and no write for the move.
type Shard struct {
	// selector is nil for all.
	selector labels.Selector
	// ring is the ControllerRing whose sharder assigns objects. Empty: labels are somebody else's, and stay as they are.
	ring string
}

// SelectedShard is the PipesTokens that selector selects.
func SelectedShard(selector labels.Selector) Shard {
	if selector == nil || selector.Empty() {
		return Shard{}
	}
	return Shard{selector: selector}
}

// RingShard is the objects that the sharder of a ControllerRing assigns to the shard of that name, which is the name of its Lease too.
// The shard lets go of an object when the sharder asks for it.
func RingShard(ring, name string) Shard {
	return Shard{selector: labels.SelectorFromSet(labels.Set{ringShardPrefix + ring: name}), ring: ring}
}

// has says whether an object with these labels is in the shard. Each shard uses every PipesEnvironment, and the one that has it writes
// its status: were it several, they would write over one another what each of them has seen.
func (s Shard) has(object client.Object) bool {
	return s.selector == nil || s.selector.Matches(labels.Set(object.GetLabels()))
}

// isAskedFor says whether the shard shall let go of the object.
func (s Shard) isAskedFor(object client.Object) bool {
	_, asked := object.GetLabels()[ringDrainPrefix+s.ring]
	return s.ring != "" && asked && s.has(object)
}

// askedFor lets through what the shard shall let go of, whatever else has changed.
func (s Shard) askedFor() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc:  func(e event.UpdateEvent) bool { return s.isAskedFor(e.ObjectNew) },
		CreateFunc:  func(event.CreateEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// trim leaves those labels that the shard looks at. An object's labels are not used otherwise.
func (s Shard) trim(given map[string]string) map[string]string {
	if s.ring == "" {
		return nil
	}
	kept := map[string]string{}
	for _, label := range s.ringLabels() {
		if value, ok := given[label]; ok {
			kept[label] = value
		}
	}
	return kept
}

func (s Shard) ringLabels() []string {
	return []string{ringShardPrefix + s.ring, ringDrainPrefix + s.ring}
}

// lettingGo returns next, which is no longer asked about an object that the shard shall let go of. As one object is in one pass at a
// time, a pass that was under way has ended when the other shard takes over. blank is an object of the kind that next reconciles.
func (s Shard) lettingGo(api client.Client, blank client.Object, next reconcile.Reconciler) reconcile.Reconciler {
	if s.ring == "" {
		return next
	}
	return reconcile.Func(func(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
		object := blank.DeepCopyObject().(client.Object)
		if err := api.Get(ctx, request.NamespacedName, object, client.UnsafeDisableDeepCopy); err != nil || !s.isAskedFor(object) {
			return next.Reconcile(ctx, request) // which knows what to do about an error
		}
		if err := s.letGo(ctx, api, object.DeepCopyObject().(client.Object)); err != nil {
			return reconcile.Result{}, fmt.Errorf("letting another shard have it: %w", err)
		}
		return reconcile.Result{}, nil
	})
}

// letGo takes the labels off an object as it was seen, which tells the sharder that it may assign it anew. An object that has changed
// since may be somebody else's already. The patch names the labels: one that is worked out from the object would take all others off
// too, which the cache does not keep.
func (s Shard) letGo(ctx context.Context, api client.Client, object client.Object) error {
	gone := map[string]any{}
	for _, label := range s.ringLabels() {
		gone[label] = nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": object.GetUID(), "resourceVersion": object.GetResourceVersion(), "labels": gone,
	}})
	if err != nil {
		return err
	}
	return client.IgnoreNotFound(api.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch)))
}
