package controllers

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
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

const (
	// expiryInterval is how often the operator looks for tokens that have expired.
	expiryInterval = 500 * time.Millisecond
	// expiryWorkers is how many statuses tell of it at a time.
	expiryWorkers = 4
)

// expiryWatch says in the status of a PipesToken that its token has expired, whatever keeps the
// reconciler from doing so: a call that hangs, a write that hangs, a long queue. It asks WorkOS
// nothing and writes no Secret.
type expiryWatch struct {
	reconciler *PipesTokenReconciler
	// ticks says when to look: in real time, also where a test steps the reconciler's clock.
	ticks   clock.WithTicker
	expired prompt
}

// SetupExpiryWithManager registers the controller that tells of expired tokens in time.
func (r *PipesTokenReconciler) SetupExpiryWithManager(mgr ctrl.Manager) error {
	watch := &expiryWatch{reconciler: r, ticks: clock.RealClock{}}
	if err := mgr.Add(watch); err != nil {
		return fmt.Errorf("adding the watch for expired tokens: %w", err)
	}
	const name = "pipestoken-expiry"
	options, err := withFairQueue(mgr, name, withErrorBackoff(controller.Options{
		MaxConcurrentReconciles: expiryWorkers, SkipNameValidation: ptr.To(true), RecoverPanic: ptr.To(true),
	}))
	if err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named(name).
		Watches(&v1alpha1.PipesToken{}, watch.enter()).
		WatchesRawSource(&watch.expired).
		WithOptions(options).
		Complete(finishing(watch))
}

// enter notes each PipesToken that comes into view, so that the expiry of a token is known before the
// reconciler gets to the object.
func (w *expiryWatch) enter() handler.EventHandler {
	return handler.Funcs{CreateFunc: func(_ context.Context, e event.CreateEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		token := e.Object.(*v1alpha1.PipesToken)
		w.reconciler.Metrics.Enter(client.ObjectKeyFromObject(token), token.Status)
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
			for _, name := range w.reconciler.Metrics.Expired(w.reconciler.Clock.Now()) {
				w.expired.add(reconcile.Request{NamespacedName: name})
			}
		}
	}
}

// Reconcile tells that the token of one PipesToken has expired, unless there is a newer one by now.
func (w *expiryWatch) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	r := w.reconciler
	token := &v1alpha1.PipesToken{}
	if err := r.Client.Get(ctx, request.NamespacedName, token); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if readyOf(token.Status).Status != metav1.ConditionTrue {
		return ctrl.Result{}, nil
	}
	seen, err := r.glance(ctx, token)
	if err != nil {
		return ctrl.Result{}, err
	}
	if seen.secret.HoldsValidToken(seen.now) {
		// It is a newer one, of which the status does not tell yet; or it has less than a second left.
		return ctrl.Result{RequeueAfter: untilExpiry(seen.secret, seen.now)}, nil
	}
	if r.Connections.clockUnknown(seen.environment) {
		return ctrl.Result{RequeueAfter: time.Second}, nil // it may be valid: the next answer tells
	}
	done := outcome{observation: seen, finding: seen.standing}
	status := statusOf(done)
	err = r.publish(ctx, token, status)
	if movedOn(err) {
		return ctrl.Result{RequeueAfter: staleRetry}, nil
	}
	return ctrl.Result{}, err
}

// glance observes from caches and memory alone, and remembers nothing.
func (r *PipesTokenReconciler) glance(ctx context.Context, token *v1alpha1.PipesToken) (observation, error) {
	seen := observation{token: token}
	if err := r.lookAtRights(ctx, &seen); err != nil {
		return observation{}, err
	}
	if _, err := r.lookAtSecret(ctx, &seen); err != nil {
		return observation{}, err
	}
	if known, ok := r.memory.attempt(token); ok {
		return seen.remembering(known.asOf(seen.now)), nil
	}
	return seen.remembering(attempt{noted: seen.now, found: foundBefore(token), hearsay: true}), nil
}

// untilExpiry is how long a valid token has left; zero when it does not expire.
func untilExpiry(secret tokensecret.Secret, now time.Time) time.Duration {
	if secret.Facts.ExpiresAt.IsZero() {
		return 0
	}
	return max(secret.Facts.ExpiresAt.Sub(now), time.Millisecond)
}
