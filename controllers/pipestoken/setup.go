package pipestoken

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/compact"
	"github.com/pipes-operator/pipes-operator/internal/connection"
	"github.com/pipes-operator/pipes-operator/internal/eventlimit"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
	"github.com/pipes-operator/pipes-operator/internal/refresh"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// secretNameIndex is the index of PipesTokens in the cache by the name of the Secret, if it
// differs from the name of the PipesToken.
const secretNameIndex = "secretName"

// SetupWithManager registers the controller of PipesTokens, its indexes and its watches.
func (r *Reconciler) SetupWithManager(
	ctx context.Context, mgr ctrl.Manager, options controller.Options,
) error {
	r.Client = compact.NewReader(r.Client, mgr.GetAPIReader(), r.Secrets, r.Shard)
	r.Recorder = eventlimit.NewRecorder(r.Recorder, r.Clock)
	if err := r.fillCaches(ctx, mgr); err != nil {
		return err
	}
	recovered := &fairqueue.Prompt{}
	r.Connections.Recovered = func(ctx context.Context, environment *v1alpha1.PipesEnvironment) {
		tokens := r.list(ctx, usingEnvironment(environment))
		for i := range tokens {
			recovered.AddWith(recoveryUrgency(&tokens[i]), requestFor(&tokens[i]))
		}
	}
	options, err := fairqueue.ForController(mgr, "pipestoken", options)
	if err != nil {
		return err
	}
	r.Connections.OnRelease(func(environment types.NamespacedName, of workos.Request) {
		for _, token := range r.heldBackFor(ctx, environment, of) {
			recovered.AddWith(recoveryUrgency(token), requestFor(token))
		}
	})
	build := ctrl.NewControllerManagedBy(mgr).
		Named("pipestoken").
		For(&v1alpha1.PipesToken{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, refresh.Changed(), r.Shard.Drained()))).
		WatchesMetadata(&corev1.Secret{}, r.secretHandler()).
		Watches(&v1alpha1.PipesEnvironment{},
			fairqueue.Withdrawing(handler.EnqueueRequestsFromMapFunc(r.tokensOfEnvironment)),
			builder.WithPredicates(environmentMatters())).
		WatchesRawSource(recovered).
		WatchesRawSource(&r.requeue).
		WithOptions(options)
	if !r.IgnoreNamespaceLabels {
		build = build.WatchesMetadata(&corev1.Namespace{},
			fairqueue.Withdrawing(handler.EnqueueRequestsFromMapFunc(r.tokensOfNamespace)),
			builder.WithPredicates(predicate.LabelChangedPredicate{}))
	}
	released := r.Shard.ReleaseDrained(r.Client, &v1alpha1.PipesToken{}, r)
	return build.Complete(r.Watchdog.Watch(detachFromShutdown(released)))
}

// fillCaches defines the indexes of the cache of PipesTokens, which starts to fill that cache. The
// cache of Secrets starts at the same time: the watches would start it only after the cache of
// PipesTokens is full.
func (r *Reconciler) fillCaches(ctx context.Context, mgr ctrl.Manager) error {
	indexer := mgr.GetFieldIndexer()
	if err := indexer.IndexField(ctx, &v1alpha1.PipesToken{}, secretNameIndex, otherSecretName); err != nil {
		return fmt.Errorf("indexing PipesTokens by Secret: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.PipesToken{}, connection.UsersIndex, func(o client.Object) []string {
		return []string{r.environmentOf(o.(*v1alpha1.PipesToken)).String()}
	}); err != nil {
		return fmt.Errorf("indexing PipesTokens by PipesEnvironment: %w", err)
	}
	if _, err := mgr.GetCache().GetInformer(ctx, compact.Secret()); err != nil {
		return fmt.Errorf("filling the cache of Secrets: %w", err)
	}
	return nil
}
