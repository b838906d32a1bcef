package pipesenvironment

import (
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/eventlimit"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
	"github.com/pipes-operator/pipes-operator/internal/refresh"
)

// SetupWithManager registers the controller of PipesEnvironments.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	r.Recorder = eventlimit.NewRecorder(r.Recorder, r.Clock)
	changed := &fairqueue.Prompt{}
	r.Connections.Changed = func(name types.NamespacedName) { changed.Add(reconcile.Request{NamespacedName: name}) }
	options, err := fairqueue.ForController(mgr, "pipesenvironment", options)
	if err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("pipesenvironment").
		For(&v1alpha1.PipesEnvironment{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, refresh.Changed(), r.Shard.Drained()))).
		WatchesRawSource(changed).
		WithOptions(options).
		Complete(r.Watchdog.Watch(r.Shard.ReleaseDrained(r.Client, &v1alpha1.PipesEnvironment{}, r)))
}
