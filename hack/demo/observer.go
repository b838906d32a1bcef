package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// namespace is the namespace of the samples' PipesTokens and Secrets.
const namespace = "agents"

// observer watches the cluster as a user could.
type observer struct {
	cache cache.Cache
	stop  context.CancelFunc
	ended chan struct{}

	mu    sync.Mutex
	shown map[string]row       // latest row of each PipesToken
	fresh []row                // rows that rows() has not returned yet
	first map[string]time.Time // when an object, or a generation of it, was first seen
}

// observe starts to watch, and returns when all caches are filled.
func observe(ctx context.Context, config *rest.Config) (*observer, error) {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	caches, err := cache.New(config, cache.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("watching the cluster: %w", err)
	}
	o := &observer{cache: caches, ended: make(chan struct{}), shown: map[string]row{}, first: map[string]time.Time{}}
	for _, object := range []client.Object{&v1alpha1.PipesToken{}, &v1alpha1.PipesEnvironment{}, &corev1.Secret{}} {
		informer, err := caches.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, fmt.Errorf("watching the cluster: %w", err)
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    o.see,
			UpdateFunc: func(_, after any) { o.see(after) },
		}); err != nil {
			return nil, fmt.Errorf("watching the cluster: %w", err)
		}
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	o.stop = stop
	go func() {
		_ = caches.Start(watching) // fails only if it is started twice
		close(o.ended)
	}()
	if !caches.WaitForCacheSync(ctx) {
		o.close()
		return nil, context.Cause(ctx)
	}
	return o, nil
}

// close ends the watches.
func (o *observer) close() {
	o.stop()
	<-o.ended
}

// see records an object that was added or updated.
func (o *observer) see(seen any) {
	object, ok := seen.(client.Object)
	if !ok {
		return
	}
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if key := firstKey(object); o.first[key].IsZero() {
		o.first[key] = now
	}
	token, ok := object.(*v1alpha1.PipesToken)
	if !ok {
		return
	}
	r := rowOf(token, now)
	if last, known := o.shown[r.name]; !known || !r.same(last) {
		o.shown[r.name] = r
		o.fresh = append(o.fresh, r)
	}
}

// firstKey returns a key for a generation of an object. Secrets have no generations.
func firstKey(object client.Object) string {
	return fmt.Sprintf("%T %s %d", object, object.GetName(), object.GetGeneration())
}

// rows returns the rows since the last call.
func (o *observer) rows() []row {
	o.mu.Lock()
	defer o.mu.Unlock()
	rows := o.fresh
	o.fresh = nil
	return rows
}

// snapshot is the state of the cluster and of the simulator at one instant.
type snapshot struct {
	tokens      map[string]*v1alpha1.PipesToken // by name
	secrets     map[string]*corev1.Secret       // by name
	environment *v1alpha1.PipesEnvironment      // nil: none exists
	requests    []workossim.Request
	connections []connection
	first       map[string]time.Time
	// lookedAfter returns how many PipesTokens the operator has reconciled since its start. It
	// returns 0 if the operator does not answer.
	lookedAfter func() int
}

// look takes a snapshot of the cluster.
func (o *observer) look(ctx context.Context) (*snapshot, error) {
	s := &snapshot{
		tokens:  map[string]*v1alpha1.PipesToken{},
		secrets: map[string]*corev1.Secret{},
		first:   map[string]time.Time{},
	}
	tokens, secrets, environments := &v1alpha1.PipesTokenList{}, &corev1.SecretList{}, &v1alpha1.PipesEnvironmentList{}
	for list, where := range map[client.ObjectList]string{
		tokens: namespace, secrets: namespace, environments: operatorNamespace,
	} {
		if err := o.cache.List(ctx, list, client.InNamespace(where)); err != nil {
			return nil, fmt.Errorf("looking at the cluster: %w", err)
		}
	}
	for i := range tokens.Items {
		s.tokens[tokens.Items[i].Name] = &tokens.Items[i]
	}
	for i := range secrets.Items {
		s.secrets[secrets.Items[i].Name] = &secrets.Items[i]
	}
	if len(environments.Items) > 0 {
		s.environment = &environments.Items[0]
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, at := range o.first {
		s.first[key] = at
	}
	return s, nil
}

// look takes a snapshot of the cluster, the simulator and the operator.
func (d *demo) look(ctx context.Context) (*snapshot, error) {
	s, err := d.watch.look(ctx)
	if err != nil {
		return nil, err
	}
	if s.requests, err = d.simulator.requests(ctx); err != nil {
		return nil, err
	}
	if s.connections, err = d.simulator.connections(ctx); err != nil {
		return nil, err
	}
	s.lookedAfter = func() int {
		n, err := d.operator.lookedAfter(ctx)
		if err != nil {
			return 0
		}
		return n
	}
	return s, nil
}

// ready returns the Ready condition of a PipesToken, or an empty condition.
func (s *snapshot) ready(name string) metav1.Condition {
	if token := s.tokens[name]; token != nil {
		if ready := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ReadyCondition); ready != nil {
			return *ready
		}
	}
	return metav1.Condition{}
}

// calls returns the requests for a connection.
func (s *snapshot) calls(id workossim.ID) []workossim.Request {
	return slices.DeleteFunc(slices.Clone(s.requests), func(r workossim.Request) bool { return r.ID != id })
}

// connection returns the simulator's state of a connection, or an empty connection.
func (s *snapshot) connection(id workossim.ID) connection {
	for _, c := range s.connections {
		if c.ID == id {
			return c
		}
	}
	return connection{}
}

// keys returns the sorted keys of a Secret's data.
func (s *snapshot) keys(name string) []string {
	var keys []string
	if secret := s.secrets[name]; secret != nil {
		for key := range secret.Data {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// fingerprint identifies the token in a Secret without revealing it. It is empty if the Secret
// has no token.
func (s *snapshot) fingerprint(name string) string {
	secret := s.secrets[name]
	if secret == nil || len(secret.Data["access_token"]) == 0 {
		return ""
	}
	sum := sha256.Sum256(secret.Data["access_token"])
	return hex.EncodeToString(sum[:4])
}
