package controllers

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
	"github.com/pipes-operator/pipes-operator/internal/grants"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// Indexes of PipesTokens in the cache.
const (
	secretNameIndex  = "secretName" // only if it differs from the PipesToken's name
	environmentIndex = "environment"
)

// CacheByObject configures the caches. They hold the PipesTokens of the shard, every
// PipesEnvironment, the metadata of the operator's own Secrets, and the labels of namespaces.
func CacheByObject(shard sharding.Shard) map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&v1alpha1.PipesToken{}:       {Label: shard.Selector(), Transform: trimToken(shard)},
		&v1alpha1.PipesEnvironment{}: {Transform: trimEnvironment(shard)},
		secretMetadata(): {
			Label:     labels.SelectorFromSet(labels.Set{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue}),
			Transform: trimSecret,
		},
		namespaceMetadata(): {Transform: trimNamespace},
	}
}

// FieldOwner is the field manager of the statuses and Secrets that the operator writes.
const FieldOwner = tokensecret.FieldManager

// SetupWithManager registers the controller of PipesTokens, its indexes and its watches.
func (r *PipesTokenReconciler) SetupWithManager(
	ctx context.Context, mgr ctrl.Manager, options controller.Options,
) error {
	r.Client = newWholeReader(r.Client, mgr.GetAPIReader(), r.Secrets, r.Shard)
	r.Recorder = newLimitedRecorder(r.Recorder, r.Clock)
	indexer := mgr.GetFieldIndexer()
	if err := indexer.IndexField(ctx, &v1alpha1.PipesToken{}, secretNameIndex, otherSecretName); err != nil {
		return fmt.Errorf("indexing PipesTokens by Secret: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.PipesToken{}, environmentIndex, func(o client.Object) []string {
		return []string{r.environmentOf(o.(*v1alpha1.PipesToken)).String()}
	}); err != nil {
		return fmt.Errorf("indexing PipesTokens by PipesEnvironment: %w", err)
	}
	// The indexes above have started to fill the cache of PipesTokens. Start the cache of
	// Secrets at the same time: the watches below start it only after the cache of PipesTokens
	// is full.
	if _, err := mgr.GetCache().GetInformer(ctx, secretMetadata()); err != nil {
		return fmt.Errorf("filling the cache of Secrets: %w", err)
	}
	recovered := &prompt{}
	r.Connections.recovered = func(ctx context.Context, environment *v1alpha1.PipesEnvironment) {
		tokens := r.list(ctx, usingEnvironment(environment))
		for i := range tokens {
			recovered.addRecovered(&tokens[i])
		}
	}
	options, err := withFairQueue(mgr, "pipestoken", withErrorBackoff(options))
	if err != nil {
		return err
	}
	r.Connections.onRecovery(func(environment types.NamespacedName, of workos.Request) {
		for _, token := range r.heldBackFor(ctx, environment, of) {
			recovered.addRecovered(token)
		}
	})
	build := ctrl.NewControllerManagedBy(mgr).
		Named("pipestoken").
		For(&v1alpha1.PipesToken{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, refreshRequestChanged(), r.Shard.Drained()))).
		WatchesMetadata(&corev1.Secret{}, r.secretHandler()).
		Watches(&v1alpha1.PipesEnvironment{}, withdrawing(handler.EnqueueRequestsFromMapFunc(r.tokensOfEnvironment)),
			builder.WithPredicates(environmentMatters())).
		WatchesRawSource(recovered).
		WatchesRawSource(&r.requeue).
		WithOptions(options)
	if !r.IgnoreNamespaceLabels {
		build = build.WatchesMetadata(&corev1.Namespace{},
			withdrawing(handler.EnqueueRequestsFromMapFunc(r.tokensOfNamespace)),
			builder.WithPredicates(predicate.LabelChangedPredicate{}))
	}
	released := r.Shard.ReleaseDrained(r.Client, &v1alpha1.PipesToken{}, r)
	return build.Complete(r.Watchdog.Watch(detachFromShutdown(released)))
}

// SetupWithManager registers the controller of PipesEnvironments.
func (r *PipesEnvironmentReconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	r.Recorder = newLimitedRecorder(r.Recorder, r.Clock)
	changed := &prompt{}
	r.Connections.changed = func(name types.NamespacedName) { changed.add(reconcile.Request{NamespacedName: name}) }
	options, err := withFairQueue(mgr, "pipesenvironment", withErrorBackoff(options))
	if err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("pipesenvironment").
		For(&v1alpha1.PipesEnvironment{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, refreshRequestChanged(), r.Shard.Drained()))).
		WatchesRawSource(changed).
		WithOptions(options).
		Complete(r.Watchdog.Watch(r.Shard.ReleaseDrained(r.Client, &v1alpha1.PipesEnvironment{}, r)))
}

// prompt is a source of reconciles that this process requests itself, because no object changes.
// It drops requests until the controller that watches it has started. No request is lost: after
// the start every object is reconciled anyway.
type prompt struct {
	queue atomic.Pointer[workqueue.TypedRateLimitingInterface[reconcile.Request]]
}

var _ source.Source = &prompt{}

// Start is called by the controller before it starts its workers.
func (p *prompt) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	p.queue.Store(&queue)
	return nil
}

func (p *prompt) add(requests ...reconcile.Request) {
	for _, request := range requests {
		p.addWith(fairqueue.Ordinary, request)
	}
}

// addRecovered adds a PipesToken whose wait is over.
func (p *prompt) addRecovered(token *v1alpha1.PipesToken) {
	p.addWith(recoveryUrgency(token), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(token)})
}

func (p *prompt) addWith(priority int, request reconcile.Request) {
	if queue := p.queue.Load(); queue != nil {
		addWith(*queue, priority)(request)
	}
}

// MaxErrorBackoff is the longest delay before a failed reconcile is retried, in a queue of these
// controllers.
const MaxErrorBackoff = 30 * time.Second

// withErrorBackoff sets the delay before a failed reconcile is retried, unless the options
// already set a rate limiter. An event or an error consumes the timer of the object, and a
// failed reconcile sets no new timer. Only the retry brings the object back, therefore the
// maximum delay limits how late an error can make a renewal. The maximum in controller-runtime
// is 17 minutes.
func withErrorBackoff(options controller.Options) controller.Options {
	if options.RateLimiter == nil {
		options.RateLimiter = workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
			50*time.Millisecond, MaxErrorBackoff)
	}
	return options
}

// secretHandler maps a Secret to every PipesToken that writes, or wants to write, a Secret of
// that name. It skips a PipesToken that has just made this write itself.
func (r *PipesTokenReconciler) secretHandler() handler.EventHandler {
	changed := func(ctx context.Context, secret client.Object, add func(reconcile.Request)) {
		for _, request := range r.tokensOfSecret(ctx, secret) {
			if !r.memory.shown(request.NamespacedName, secret) {
				add(request)
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, queue eventQueue) {
			add := queue.Add
			if e.IsInInitialList {
				// Before the first reconcile the renewal time is unknown: the renewal may be due
				// now.
				add = addWith(queue, fairqueue.Renewal(r.Clock.Now()))
			}
			changed(ctx, e.Object, add)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, queue eventQueue) {
			changed(ctx, e.ObjectNew, queue.Add)
		},
		GenericFunc: func(ctx context.Context, e event.GenericEvent, queue eventQueue) {
			changed(ctx, e.Object, queue.Add)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, queue eventQueue) {
			for _, request := range r.tokensOfSecret(ctx, e.Object) {
				r.memory.secretDeleted(request.NamespacedName, e.Object.GetUID())
				queue.Add(request)
			}
		},
	}
}

// otherSecretName returns the name of the Secret if it differs from the name of the PipesToken.
// Most PipesTokens need no index entry, which would take half a kilobyte each.
func otherSecretName(object client.Object) []string {
	if name := object.(*v1alpha1.PipesToken).TargetSecretName(); name != object.GetName() {
		return []string{name}
	}
	return nil
}

// tokensOfSecret returns the PipesToken with the name of the Secret, if it writes that Secret,
// and the PipesTokens whose spec names the Secret.
func (r *PipesTokenReconciler) tokensOfSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	requests := r.find(ctx, client.InNamespace(secret.GetNamespace()),
		client.MatchingFields{secretNameIndex: secret.GetName()})
	token := &v1alpha1.PipesToken{}
	switch err := r.Client.Get(ctx, client.ObjectKeyFromObject(secret), token,
		client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); {
	case apierrors.IsNotFound(err):
	case err != nil:
		log.FromContext(ctx).Error(err, "Cannot read a PipesToken, so a change of its Secret may be noticed late",
			"name", secret.GetName())
	case len(otherSecretName(token)) == 0:
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(token)})
	}
	return requests
}

func (r *PipesTokenReconciler) tokensOfEnvironment(ctx context.Context, environment client.Object) []reconcile.Request {
	return r.find(ctx, usingEnvironment(environment))
}

func usingEnvironment(environment client.Object) client.MatchingFields {
	return client.MatchingFields{environmentIndex: client.ObjectKeyFromObject(environment).String()}
}

// tokensOfNamespace returns the PipesTokens of a namespace whose grants may depend on the labels
// of the namespace.
func (r *PipesTokenReconciler) tokensOfNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	environments := &v1alpha1.PipesEnvironmentList{}
	if err := r.Client.List(ctx, environments, client.DisableReadYourWritesConsistency); err != nil {
		log.FromContext(ctx).Error(err, "Cannot list PipesEnvironments, so a changed namespace may be noticed late",
			"namespace", namespace.GetName())
		return nil
	}
	var requests []reconcile.Request
	for i := range environments.Items {
		environment := &environments.Items[i]
		if grants.SelectsByLabel(environment) {
			requests = append(requests, r.find(ctx, client.InNamespace(namespace.GetName()), usingEnvironment(environment))...)
		}
	}
	return requests
}

func (r *PipesTokenReconciler) find(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	tokens := r.list(ctx, options...)
	requests := make([]reconcile.Request, 0, len(tokens))
	for i := range tokens {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&tokens[i])})
	}
	return requests
}

// list returns PipesTokens from the cache. The caller must not change them.
func (r *PipesTokenReconciler) list(ctx context.Context, options ...client.ListOption) []v1alpha1.PipesToken {
	tokens := &v1alpha1.PipesTokenList{}
	if err := r.Client.List(ctx, tokens,
		append(options, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)...); err != nil {
		log.FromContext(ctx).Error(err, "Cannot list PipesTokens, so a change may be noticed late")
		return nil
	}
	return tokens.Items
}

func refreshRequestChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetAnnotations()[v1alpha1.RefreshRequestedAtAnnotation] !=
			e.ObjectNew.GetAnnotations()[v1alpha1.RefreshRequestedAtAnnotation]
	}}
}

// environmentMatters accepts the events that can affect a PipesToken: a change of the spec, or a
// change of the Ready condition.
func environmentMatters() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.PipesEnvironment), e.ObjectNew.(*v1alpha1.PipesEnvironment)
		return before.Generation != after.Generation || environmentReason(before) != environmentReason(after) ||
			meta.IsStatusConditionTrue(before.Status.Conditions, v1alpha1.ReadyCondition) !=
				meta.IsStatusConditionTrue(after.Status.Conditions, v1alpha1.ReadyCondition)
	}}
}

func secretMetadata() *metav1.PartialObjectMetadata {
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return metadata
}

func namespaceMetadata() *metav1.PartialObjectMetadata {
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return metadata
}
