package pipesevents

import (
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
)

// SetupWithManager registers the controller that follows events. Its queue is fair: a namespace
// with PipesEnvironments whose WorkOS does not answer leaves workers to the others.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	options, err := fairqueue.ForController(mgr, "pipesevents", options)
	if err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("pipesevents").
		For(&v1alpha1.PipesEnvironment{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(options).
		Complete(r.Watchdog.Watch(r))
}
