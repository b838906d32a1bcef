//go:build reliability

package model_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/compact"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
)

// view is the cache of one operator: the state that its watches have delivered so far. The model
// decides how stale it is.
type view struct {
	cache.Cache // nil: a call of a method that view does not implement panics
	server      *apiServer
	objects     map[kind]map[types.NamespacedName]client.Object
	// cursor is how much of the history each watch has delivered.
	cursor    map[kind]int
	informers map[kind]*informer
	indexes   map[string]client.IndexerFunc
	// seen are the resourceVersions of Secrets that this process has seen.
	seen map[string]bool
}

// newView returns a cache that was filled by a list of the state after the first at changes of
// the history.
func newView(server *apiServer, at int) *view {
	v := &view{
		server: server, objects: map[kind]map[types.NamespacedName]client.Object{}, cursor: map[kind]int{},
		informers: map[kind]*informer{}, indexes: map[string]client.IndexerFunc{}, seen: map[string]bool{},
	}
	for _, kind := range kinds {
		v.objects[kind], v.cursor[kind] = map[types.NamespacedName]client.Object{}, at
		v.informers[kind] = &informer{FakeInformer: controllertest.NewFakeInformer(controllertest.Synced)}
	}
	for _, change := range server.history[:at] {
		if shown := cached(change.after); shown != nil {
			v.objects[change.kind][change.key] = shown
			v.seen[shown.GetResourceVersion()] = true
		} else {
			delete(v.objects[change.kind], change.key)
		}
	}
	return v
}

// cached returns what a cache keeps of an object; nil if it does not keep the object.
func cached(object client.Object) client.Object {
	switch typed := object.(type) {
	case nil:
		return nil
	case *corev1.Secret:
		if typed.Labels[v1alpha1.ManagedByLabel] != v1alpha1.ManagedByValue {
			return nil
		}
		object = metadataOf(typed)
	}
	kept, err := transforms[kindOf(object)](object.DeepCopyObject())
	if err != nil {
		panic(err)
	}
	return kept.(client.Object)
}

// transforms are the functions that trim objects in the caches of the real operator.
var transforms = func() map[kind]toolscache.TransformFunc {
	all := map[kind]toolscache.TransformFunc{}
	for object, options := range compact.ByObject(sharding.Shard{}) {
		all[kindOf(object)] = options.Transform
	}
	return all
}()

// started notifies the handlers of the objects that the cache was filled with.
func (v *view) started() {
	for _, kind := range kinds {
		for _, key := range sortedKeys(v.objects[kind]) {
			for _, handler := range v.informers[kind].handlers {
				handler.OnAdd(v.objects[kind][key], true)
			}
		}
	}
}

// deliver lets the watch of kind deliver up to count more changes.
func (v *view) deliver(kind kind, count int) {
	for count > 0 && v.cursor[kind] < len(v.server.history) {
		change := v.server.history[v.cursor[kind]]
		v.cursor[kind]++
		if change.kind != kind {
			continue
		}
		count--
		v.show(kind, change.key, cached(change.after), cached(change.before))
	}
}

// deliverOwn lets the watch deliver the writes of this process: the history up to wrote.
func (v *view) deliverOwn(kind kind, wrote int) {
	for v.cursor[kind] < wrote {
		v.deliver(kind, 1)
	}
}

// relist does what happens after a watch was down: several changes are merged into one, and the
// last state of a deleted object is not known.
func (v *view) relist(kind kind) {
	v.cursor[kind] = len(v.server.history)
	now := maps.Clone(v.server.objects[kind])
	for _, key := range sortedKeys(v.objects[kind]) {
		if cached(now[key]) == nil {
			v.show(kind, key, nil, nil)
		}
	}
	for _, key := range sortedKeys(now) {
		if shown := cached(now[key]); shown != nil {
			v.show(kind, key, shown, nil)
		}
	}
}

// show updates the cache and notifies the handlers. last is the state of a deleted object before
// its deletion; nil if it is not known.
func (v *view) show(kind kind, key types.NamespacedName, after, last client.Object) {
	before := v.objects[kind][key]
	handlers := v.informers[kind].handlers
	if after != nil {
		v.seen[after.GetResourceVersion()] = true
	}
	switch {
	case after == nil && before == nil:
	case after == nil:
		delete(v.objects[kind], key)
		var gone any = toolscache.DeletedFinalStateUnknown{Key: key.String(), Obj: before}
		if last != nil {
			gone = last
		}
		for _, handler := range handlers {
			handler.OnDelete(gone)
		}
	case before == nil:
		v.objects[kind][key] = after
		for _, handler := range handlers {
			handler.OnAdd(after, false)
		}
	case before.GetResourceVersion() != after.GetResourceVersion():
		v.objects[kind][key] = after
		for _, handler := range handlers {
			handler.OnUpdate(before, after)
		}
	}
}

// catchUp lets every watch deliver all changes.
func (v *view) catchUp() {
	for _, kind := range kinds {
		v.deliver(kind, len(v.server.history))
	}
}

// informer keeps its handlers, so that the view can call them.
type informer struct {
	*controllertest.FakeInformer
	mu       sync.Mutex // the controllers start their watches at the same time
	handlers []toolscache.ResourceEventHandler
}

func (i *informer) AddEventHandlerWithOptions(handler toolscache.ResourceEventHandler, o toolscache.HandlerOptions) (toolscache.ResourceEventHandlerRegistration, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.handlers = append(i.handlers, handler)
	return i.FakeInformer.AddEventHandlerWithOptions(handler, o)
}

func (v *view) GetInformer(_ context.Context, object client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	return v.informers[kindOf(object)], nil
}

func (v *view) WaitForCacheSync(context.Context) bool { return true }

func (v *view) IndexField(_ context.Context, _ client.Object, field string, extract client.IndexerFunc) error {
	v.indexes[field] = extract
	return nil
}

func kindOf(object client.Object) kind {
	switch typed := object.(type) {
	case *v1alpha1.PipesToken:
		return tokens
	case *v1alpha1.PipesEnvironment:
		return environments
	case *metav1.PartialObjectMetadata:
		return map[string]kind{"Secret": secrets, "Namespace": namespaces}[typed.Kind]
	}
	panic(fmt.Sprintf("nothing may read a %T from the cache", object))
}

// read fills object from the cache.
func (v *view) read(key types.NamespacedName, object client.Object) error {
	kind := kindOf(object)
	shown := v.objects[kind][key]
	if shown == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: string(kind)}, key.Name)
	}
	switch into := object.(type) {
	case *v1alpha1.PipesToken:
		shown.(*v1alpha1.PipesToken).DeepCopyInto(into)
	case *v1alpha1.PipesEnvironment:
		shown.(*v1alpha1.PipesEnvironment).DeepCopyInto(into)
	case *metav1.PartialObjectMetadata:
		shown.(*metav1.PartialObjectMetadata).DeepCopyInto(into)
	}
	return nil
}

// list fills list from the cache and its indexes.
func (v *view) list(list client.ObjectList, options ...client.ListOption) error {
	wanted := client.ListOptions{}
	wanted.ApplyOptions(options)
	switch into := list.(type) {
	case *v1alpha1.PipesTokenList:
		for _, key := range sortedKeys(v.objects[tokens]) {
			token := v.objects[tokens][key].(*v1alpha1.PipesToken)
			if v.selected(token, wanted) {
				into.Items = append(into.Items, *token)
			}
		}
	case *v1alpha1.PipesEnvironmentList:
		for _, key := range sortedKeys(v.objects[environments]) {
			into.Items = append(into.Items, *v.objects[environments][key].(*v1alpha1.PipesEnvironment).DeepCopy())
		}
	default:
		return errors.New("nothing may list that from the cache")
	}
	return nil
}

func (v *view) selected(token *v1alpha1.PipesToken, wanted client.ListOptions) bool {
	if wanted.Namespace != "" && wanted.Namespace != token.Namespace {
		return false
	}
	if wanted.FieldSelector == nil {
		return true
	}
	for _, requirement := range wanted.FieldSelector.Requirements() {
		values := v.indexes[requirement.Field](token)
		if len(values) != 1 || values[0] != requirement.Value {
			return false
		}
	}
	return true
}
