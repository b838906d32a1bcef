// Package sharding divides PipesTokens between operator processes by their labels. A user sets the
// labels, or the sharder of https://github.com/timebertt/kubernetes-controller-sharding does.
package sharding

import (
	"context"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Labels and label prefixes of https://github.com/timebertt/kubernetes-controller-sharding,
// docs/implement-sharding.md. The name of a ControllerRing follows each prefix.
const (
	// RingLabel is the label on the Lease of a shard that names its ControllerRing.
	RingLabel = "alpha.sharding.timebertt.dev/controllerring"
	// ringShardPrefix begins the label that names the shard of an object.
	ringShardPrefix = "shard.alpha.sharding.timebertt.dev/"
	// ringDrainPrefix begins the label that asks the shard to release an object.
	ringDrainPrefix = "drain.alpha.sharding.timebertt.dev/"
)

// Shard is the set of PipesTokens that one operator process handles, selected by their labels.
// The zero Shard contains all PipesTokens. When a PipesToken moves to another shard, that shard
// continues from the status and from the facts in the Secret, like a process that has just
// started. The move causes no call and no write.
type Shard struct {
	// selector is nil for all objects.
	selector labels.Selector
	// ring is the ControllerRing whose sharder assigns objects. Empty: the labels belong to
	// somebody else and stay as they are.
	ring string
}

// Selected returns the shard of the PipesTokens that selector selects.
func Selected(selector labels.Selector) Shard {
	if selector == nil || selector.Empty() {
		return Shard{}
	}
	return Shard{selector: selector}
}

// Ring returns the shard of the objects that the sharder of a ControllerRing assigns to
// name. The Lease of the shard has the same name. The shard releases an object when the sharder
// asks for it.
func Ring(ring, name string) Shard {
	return Shard{selector: labels.SelectorFromSet(labels.Set{ringShardPrefix + ring: name}), ring: ring}
}

// Selector returns the selector of the PipesTokens of the shard; nil for all.
func (s Shard) Selector() labels.Selector { return s.selector }

// Has reports whether an object is in the shard. Every shard uses every PipesEnvironment, but
// only the shard that has it writes its status. Otherwise several shards would overwrite the
// observations of each other.
func (s Shard) Has(object client.Object) bool {
	return s.selector == nil || s.selector.Matches(labels.Set(object.GetLabels()))
}

// isDrained reports whether the sharder has asked this shard to release the object.
func (s Shard) isDrained(object client.Object) bool {
	_, asked := object.GetLabels()[ringDrainPrefix+s.ring]
	return s.ring != "" && asked && s.Has(object)
}

// Drained accepts updates of objects that the shard must release, whether or not anything else
// has changed.
func (s Shard) Drained() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc:  func(e event.UpdateEvent) bool { return s.isDrained(e.ObjectNew) },
		CreateFunc:  func(event.CreateEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// RingLabels returns the labels that the ring needs; nil if the shard has no ring. The operator
// uses no other labels of an object.
func (s Shard) RingLabels(given map[string]string) map[string]string {
	if s.ring == "" {
		return nil
	}
	kept := map[string]string{}
	for _, label := range s.ringLabelNames() {
		if value, ok := given[label]; ok {
			kept[label] = value
		}
	}
	return kept
}

func (s Shard) ringLabelNames() []string {
	return []string{ringShardPrefix + s.ring, ringDrainPrefix + s.ring}
}

// ReleaseDrained wraps next. An object that the shard must release is not reconciled any more. Only
// one reconcile of an object runs at a time, therefore a running reconcile has ended before
// another shard takes over. blank is an empty object of the kind that next reconciles.
func (s Shard) ReleaseDrained(api client.Client, blank client.Object, next reconcile.Reconciler) reconcile.Reconciler {
	if s.ring == "" {
		return next
	}
	return reconcile.Func(func(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
		object := blank.DeepCopyObject().(client.Object)
		if err := api.Get(ctx, request.NamespacedName, object, client.UnsafeDisableDeepCopy); err != nil ||
			!s.isDrained(object) {
			return next.Reconcile(ctx, request) // next handles the error
		}
		if err := s.release(ctx, api, object.DeepCopyObject().(client.Object)); err != nil {
			return reconcile.Result{}, fmt.Errorf("letting another shard have it: %w", err)
		}
		return reconcile.Result{}, nil
	})
}

// release removes the labels from an object. That tells the sharder that it may assign the object
// to another shard. The patch contains the resourceVersion, because an object that has changed
// may already belong to another shard. The patch names the labels: a patch that is computed from
// the object would also remove all labels that the cache does not hold.
func (s Shard) release(ctx context.Context, api client.Client, object client.Object) error {
	gone := map[string]any{}
	for _, label := range s.ringLabelNames() {
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

// SelectedLabels returns only the labels that the selector of the shard uses.
func (s Shard) SelectedLabels(given map[string]string) map[string]string {
	if s.selector == nil {
		return nil
	}
	keys := sets.New[string]()
	if s.ring != "" {
		keys.Insert(s.ringLabelNames()...)
	}
	requirements, _ := s.selector.Requirements()
	for i := range requirements {
		keys.Insert(requirements[i].Key())
	}
	kept := maps.Clone(given)
	maps.DeleteFunc(kept, func(key, _ string) bool { return !keys.Has(key) })
	return kept
}
