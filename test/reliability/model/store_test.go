//go:build reliability

package model_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// kind is a resource of the stand-in.
type kind string

const (
	tokens       kind = "pipestokens"
	environments kind = "pipesenvironments"
	secrets      kind = "secrets"
	namespaces   kind = "namespaces"
)

var kinds = []kind{tokens, environments, secrets, namespaces}

// change is one version of one object. The objects that it points to are never modified.
type change struct {
	kind          kind
	key           types.NamespacedName
	before, after client.Object // nil if the object does not exist
}

// apiServer is a stand-in for kube-apiserver and etcd. It stores objects and the history that
// feeds the watches. It behaves as the real API server does in everything that the operator
// relies on; conformance_test.go compares the two. Two goroutines never use it at the same time,
// because the model passes the turn from one to the next.
type apiServer struct {
	clock   clock.PassiveClock
	objects map[kind]map[types.NamespacedName]client.Object
	history []change
	uids    int
	// admission is how admission control treats writes of Secrets.
	admission admission
}

func newAPIServer(clock clock.PassiveClock) *apiServer {
	s := &apiServer{clock: clock, objects: map[kind]map[types.NamespacedName]client.Object{}, admission: admits}
	for _, kind := range kinds {
		s.objects[kind] = map[types.NamespacedName]client.Object{}
	}
	return s
}

// get returns the stored object, or nil if it does not exist. The caller must not modify it.
func (s *apiServer) get(kind kind, key types.NamespacedName) client.Object {
	return s.objects[kind][key]
}

func (s *apiServer) token(key types.NamespacedName) *v1alpha1.PipesToken {
	token, _ := s.get(tokens, key).(*v1alpha1.PipesToken)
	return token
}

func (s *apiServer) secret(key types.NamespacedName) *corev1.Secret {
	secret, _ := s.get(secrets, key).(*corev1.Secret)
	return secret
}

// keys returns the names of all objects of a kind, sorted.
func (s *apiServer) keys(kind kind) []types.NamespacedName { return sortedKeys(s.objects[kind]) }

func sortedKeys[T any](m map[types.NamespacedName]T) []types.NamespacedName {
	keys := make([]types.NamespacedName, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	return keys
}

// put stores an object as the newest version. The caller must not modify the object afterwards.
func (s *apiServer) put(kind kind, object client.Object) {
	key := client.ObjectKeyFromObject(object)
	before := s.objects[kind][key]
	if before == nil {
		s.uids++
		object.SetUID(types.UID(fmt.Sprintf("uid-%04d", s.uids)))
		if specOf(object) != nil {
			object.SetGeneration(1)
		}
		object.SetCreationTimestamp(metav1.NewTime(s.clock.Now().Truncate(time.Second)))
	}
	object.SetResourceVersion(strconv.Itoa(len(s.history) + 1))
	s.objects[kind][key] = object
	s.history = append(s.history, change{kind, key, before, object})
}

// remove deletes an object. An object with finalizers is only marked as being deleted.
func (s *apiServer) remove(kind kind, key types.NamespacedName) {
	before := s.objects[kind][key]
	if before == nil {
		return
	}
	if len(before.GetFinalizers()) > 0 {
		if before.GetDeletionTimestamp() == nil {
			marked := before.DeepCopyObject().(client.Object)
			marked.SetDeletionTimestamp(new(metav1.NewTime(s.clock.Now().Truncate(time.Second))))
			s.put(kind, marked)
		}
		return
	}
	delete(s.objects[kind], key)
	s.history = append(s.history, change{kind, key, before, nil})
}

// edit changes an object as its owner or a stranger does. If the spec changes, the generation
// increases.
func (s *apiServer) edit(kind kind, key types.NamespacedName, edit func(client.Object)) {
	before := s.objects[kind][key]
	after := before.DeepCopyObject().(client.Object)
	edit(after)
	if equality.Semantic.DeepEqual(before, after) {
		return
	}
	if !equality.Semantic.DeepEqual(specOf(before), specOf(after)) {
		after.SetGeneration(before.GetGeneration() + 1)
	}
	s.put(kind, after)
	if after.GetDeletionTimestamp() != nil && len(after.GetFinalizers()) == 0 {
		s.remove(kind, key)
	}
}

func specOf(object client.Object) any {
	switch typed := object.(type) {
	case *v1alpha1.PipesToken:
		return typed.Spec
	case *v1alpha1.PipesEnvironment:
		return typed.Spec
	default:
		return nil
	}
}

// collectGarbage deletes Secrets whose owners are gone, as the garbage collector of Kubernetes
// does at some later time.
func (s *apiServer) collectGarbage() {
	alive := map[types.UID]bool{}
	for _, object := range s.objects[tokens] {
		alive[object.GetUID()] = true
	}
	for _, key := range s.keys(secrets) {
		owners := s.secret(key).OwnerReferences
		if len(owners) == 0 || slices.ContainsFunc(owners, func(o metav1.OwnerReference) bool { return alive[o.UID] }) {
			continue
		}
		s.remove(secrets, key)
	}
}

// statusConflict is the error of server-side apply of a status; nil if the apply can go ahead.
func (s *apiServer) statusConflict(kind kind, key types.NamespacedName, uid types.UID, version string) error {
	resource := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: string(kind)}
	stored := s.get(kind, key)
	switch {
	case stored == nil && version == "":
		return apierrors.NewNotFound(resource, key.Name)
	case stored == nil || uid != "" && uid != stored.GetUID() || version != "" && version != stored.GetResourceVersion():
		return apierrors.NewConflict(resource, key.Name, fmt.Errorf("the object has been modified"))
	default:
		return nil
	}
}
