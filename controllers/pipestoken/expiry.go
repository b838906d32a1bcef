package pipestoken

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

const (
	// expiryInterval is how often the operator looks for expired tokens.
	expiryInterval = 500 * time.Millisecond
	// expiryWorkers is how many statuses are written at the same time.
	expiryWorkers = 4
)

// expiryWatch reports in the status of a PipesToken that its token has expired, even if a call
// that hangs, a write that hangs or a long queue blocks the Reconciler. It does not
// call WorkOS and writes no Secret.
type expiryWatch struct {
	reconciler *Reconciler
	// ticks starts each check in real time, even if a test controls the clock of the reconciler.
	ticks   clock.WithTicker
	expired fairqueue.Prompt
}

// SetupExpiryWithManager registers the controller that reports expired tokens in time.
func (r *Reconciler) SetupExpiryWithManager(mgr ctrl.Manager) error {
	watch := &expiryWatch{reconciler: r, ticks: clock.RealClock{}}
	if err := mgr.Add(watch); err != nil {
		return fmt.Errorf("adding the watch for expired tokens: %w", err)
	}
	const name = "pipestoken-expiry"
	options, err := fairqueue.ForController(mgr, name, controller.Options{
		MaxConcurrentReconciles: expiryWorkers, SkipNameValidation: ptr.To(true), RecoverPanic: ptr.To(true),
	})
	if err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named(name).
		Watches(&v1alpha1.PipesToken{}, watch.enter()).
		WatchesRawSource(&watch.expired).
		WithOptions(options).
		Complete(detachFromShutdown(watch))
}

// enter records each PipesToken that appears in the cache. Therefore the expiry of its token is
// known before its first reconcile.
func (w *expiryWatch) enter() handler.EventHandler {
	return handler.Funcs{CreateFunc: func(
		_ context.Context, e event.CreateEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request],
	) {
		token := e.Object.(*v1alpha1.PipesToken)
		w.reconciler.enter(token)
	}}
}

// Start looks for expired tokens until ctx ends.
func (w *expiryWatch) Start(ctx context.Context) error {
	ticker := w.ticks.NewTicker(expiryInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			for _, name := range w.reconciler.Ledger.Expired(w.reconciler.Clock.Now()) {
				w.expired.Add(reconcile.Request{NamespacedName: name})
			}
		}
	}
}

// Reconcile reports that the token of one PipesToken has expired, unless the Secret holds a
// newer token.
func (w *expiryWatch) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	r := w.reconciler
	token := &v1alpha1.PipesToken{}
	if err := r.Client.Get(ctx, request.NamespacedName, token); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if conditions.Ready(token.Status.Conditions).Status != metav1.ConditionTrue {
		return ctrl.Result{}, nil
	}
	seen, err := r.glance(ctx, token)
	if err != nil {
		return ctrl.Result{}, err
	}
	if seen.secret.HoldsValidToken(seen.now) {
		// The token is newer than the status says, or it has less than a second left.
		return ctrl.Result{RequeueAfter: untilExpiry(seen.secret, seen.now)}, nil
	}
	if r.Connections.ClockUnknown(seen.origin.environment) {
		// The token may still be valid. The next answer of WorkOS shows the skew.
		return ctrl.Result{RequeueAfter: time.Second}, nil
	}
	err = r.publish(ctx, token, statusOf(outcomeOf(seen, seen.standing)))
	if movedOn(err) {
		return ctrl.Result{RequeueAfter: staleRetry}, nil
	}
	return ctrl.Result{}, err
}

// glance observes from the caches and the memory only, and does not change the memory.
func (r *Reconciler) glance(ctx context.Context, token *v1alpha1.PipesToken) (observation, error) {
	seen := observation{token: token}
	if err := r.observeRights(ctx, &seen); err != nil {
		return observation{}, err
	}
	if _, err := r.observeSecret(ctx, &seen); err != nil {
		return observation{}, err
	}
	if known, ok := r.memory.attempt(token); ok {
		known.schedule = known.schedule.asOf(seen.now)
		return seen.remembering(known), nil
	}
	return seen.remembering(attempt{state: fromStatus, finding: findingFromStatus(token)}), nil
}

// untilExpiry returns how long a valid token stays valid; zero if it does not expire.
func untilExpiry(secret tokensecret.Secret, now time.Time) time.Duration {
	if secret.Facts.ExpiresAt.IsZero() {
		return 0
	}
	return max(secret.Facts.ExpiresAt.Sub(now), time.Millisecond)
}
