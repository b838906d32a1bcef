package pipestoken

import (
	"container/heap"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/controllers/pipesevents"
	"github.com/pipes-operator/pipes-operator/internal/connection"
	"github.com/pipes-operator/pipes-operator/internal/eventfeed"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
	"github.com/pipes-operator/pipes-operator/internal/ledger"
	"github.com/pipes-operator/pipes-operator/internal/metrics"
	"github.com/pipes-operator/pipes-operator/internal/workos"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// crowdWorld is a stepped clock, a simulated WorkOS, a store of PipesTokens and both controllers
// that ask WorkOS. A heap stands for their queues: the clock jumps from one reconcile to the next.
type crowdWorld struct {
	t        *testing.T
	clock    *testingclock.FakePassiveClock
	upstream *workossim.Simulator
	store    *crowdStore
	tokens   *Reconciler
	events   *pipesevents.Reconciler
	queue    *crowdQueue
	// perMinute counts the requests to WorkOS of each minute since noon.
	perMinute map[int]int
}

var crowdEnvironment = types.NamespacedName{Namespace: "home", Name: "default"}

// newCrowd returns a world with n PipesTokens whose users have not connected.
func newCrowd(t *testing.T, n int) *crowdWorld {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	w := &crowdWorld{t: t, clock: testingclock.NewFakePassiveClock(noon), perMinute: map[int]int{}}
	w.upstream = workossim.New(workossim.Options{Clock: w.clock, APIKeys: []string{"sk_test_canary"}, Slugs: []string{"github"}})
	w.store = &crowdStore{tokens: map[types.NamespacedName]*v1alpha1.PipesToken{}, environment: &v1alpha1.PipesEnvironment{
		ObjectMeta: metav1.ObjectMeta{Name: crowdEnvironment.Name, Namespace: crowdEnvironment.Namespace, UID: "environment", Generation: 1},
		Spec: v1alpha1.PipesEnvironmentSpec{
			BaseURL: "http://workos.test", RequestsPerMinute: 3000,
			APIKeySecretRef: v1alpha1.SecretKeyReference{Name: "key", Key: "key"},
		},
	}}
	for i := range n {
		token := &v1alpha1.PipesToken{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("user-", i), Namespace: crowdEnvironment.Namespace, UID: types.UID(fmt.Sprint("uid-", i))},
			Spec:       v1alpha1.PipesTokenSpec{Slug: "github", UserID: fmt.Sprint("user_", i)},
		}
		w.store.tokens[client.ObjectKeyFromObject(token)] = token
	}
	w.start()
	return w
}

// start starts a process of the operator, which remembers nothing.
func (w *crowdWorld) start() {
	w.t.Helper()
	tokens, feed := &ledger.Ledger{}, &eventfeed.Feed{}
	counters, err := metrics.New(prometheus.NewRegistry(), tokens, w.clock, false)
	if err != nil {
		w.t.Fatal(err)
	}
	connections := &connection.Registry{
		Reader: w.store, AllowedHosts: []string{"workos.test"}, AllowInsecure: true,
		Upstream: workos.New(workos.Options{Transport: w, Clock: w.clock}),
	}
	secrets, err := NewSecretClient(&rest.Config{Host: "http://stand-in", QPS: -1}, &http.Client{Transport: noSecrets{}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.tokens = &Reconciler{
		Client: w.store, Secrets: secrets, Connections: connections, Feed: feed, Recorder: &events.FakeRecorder{}, Clock: w.clock,
		Ledger: tokens, Metrics: counters, DefaultEnvironment: crowdEnvironment,
	}
	w.events = &pipesevents.Reconciler{
		Client: w.store, Connections: connections, Feed: feed, Listener: w.tokens, Clock: w.clock, Metrics: counters,
	}
	w.queue = &crowdQueue{now: w.clock.Now, place: map[types.NamespacedName]*crowdItem{}}
	if err := w.tokens.requeue.Start(w.t.Context(), w.queue); err != nil {
		w.t.Fatal(err)
	}
	w.queue.due(types.NamespacedName{}, w.clock.Now()) // stands for the controller of events
	for name := range w.store.tokens {
		w.queue.due(name, w.clock.Now())
	}
}

// noSecrets is an API server that has no Secret.
type noSecrets struct{}

func (noSecrets) RoundTrip(request *http.Request) (*http.Response, error) {
	const none = `{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "items": []}`
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(none)), Request: request,
	}, nil
}

// run makes all reconciles that are due until so much time has passed since noon.
func (w *crowdWorld) run(until time.Duration) {
	w.t.Helper()
	for end := noon.Add(until); !w.queue.items[0].at.After(end); {
		next := w.queue.items[0]
		if next.at.After(w.clock.Now()) {
			w.clock.SetTime(next.at)
		}
		result, err := w.reconcile(next.name)
		if err != nil || result.RequeueAfter <= 0 {
			w.t.Fatalf("%s: got %+v, %v", next.name, result, err)
		}
		w.queue.due(next.name, w.clock.Now().Add(result.RequeueAfter))
	}
	w.clock.SetTime(noon.Add(until))
}

func (w *crowdWorld) reconcile(name types.NamespacedName) (ctrl.Result, error) {
	if name.Name == "" {
		return w.events.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: crowdEnvironment})
	}
	return w.tokens.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: name})
}

// RoundTrip gives a request to the simulated WorkOS, and counts it.
func (w *crowdWorld) RoundTrip(request *http.Request) (*http.Response, error) {
	w.perMinute[int(w.clock.Now().Sub(noon)/time.Minute)]++
	recorder := httptest.NewRecorder()
	w.upstream.ServeHTTP(recorder, request)
	return recorder.Result(), nil
}

// crowdStore stands for the caches and for the API server. It has no Secret of a PipesToken.
type crowdStore struct {
	client.Client
	tokens      map[types.NamespacedName]*v1alpha1.PipesToken
	environment *v1alpha1.PipesEnvironment
	// written counts the writes of a status.
	written int
}

func (s *crowdStore) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	switch into := object.(type) {
	case *v1alpha1.PipesToken:
		s.tokens[key].DeepCopyInto(into)
	case *v1alpha1.PipesEnvironment:
		s.environment.DeepCopyInto(into)
	case *corev1.Secret:
		into.Data = map[string][]byte{"key": []byte("sk_test_canary")}
	default:
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	return nil
}

func (s *crowdStore) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	for _, token := range s.tokens {
		list.(*v1alpha1.PipesTokenList).Items = append(list.(*v1alpha1.PipesTokenList).Items, *token)
	}
	return nil
}

func (s *crowdStore) Status() client.SubResourceWriter { return crowdStatus{store: s} }

type crowdStatus struct {
	client.SubResourceWriter
	store *crowdStore
}

func (s crowdStatus) Apply(_ context.Context, applied runtime.ApplyConfiguration, _ ...client.SubResourceApplyOption) error {
	s.store.written++
	text, err := json.Marshal(applied)
	if err != nil {
		return err
	}
	var written v1alpha1.PipesToken
	if err := json.Unmarshal(text, &written); err != nil {
		return err
	}
	s.store.tokens[client.ObjectKeyFromObject(&written)].Status = written.Status
	return nil
}

// crowdQueue has the next reconcile of each object.
type crowdQueue struct {
	fairqueue.EventQueue
	now   func() time.Time
	items []*crowdItem
	place map[types.NamespacedName]*crowdItem
}

// crowdItem is the next reconcile of an object.
type crowdItem struct {
	name  types.NamespacedName
	at    time.Time
	place int
}

// Add requests a reconcile at once.
func (q *crowdQueue) Add(request ctrl.Request) {
	q.due(request.NamespacedName, q.now())
}

func (q *crowdQueue) due(name types.NamespacedName, at time.Time) {
	item := q.place[name]
	if item == nil {
		item = &crowdItem{name: name, at: at}
		q.place[name] = item
		heap.Push(q, item)
		return
	}
	item.at = at
	heap.Fix(q, item.place)
}

func (q *crowdQueue) Len() int           { return len(q.items) }
func (q *crowdQueue) Less(i, j int) bool { return q.items[i].at.Before(q.items[j].at) }

func (q *crowdQueue) Swap(i, j int) {
	q.items[i], q.items[j] = q.items[j], q.items[i]
	q.items[i].place, q.items[j].place = i, j
}

func (q *crowdQueue) Push(item any) {
	pushed := item.(*crowdItem)
	pushed.place = len(q.items)
	q.items = append(q.items, pushed)
}

// Pop is part of heap.Interface. No item leaves the queue.
func (q *crowdQueue) Pop() any { panic("an item leaves the queue") }
