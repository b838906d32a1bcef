package pipestoken

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/connection"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
	"github.com/pipes-operator/pipes-operator/internal/grants"
)

// secretHandler maps a Secret to every PipesToken that writes, or wants to write, a Secret of
// that name. It skips a PipesToken that has just made this write itself.
func (r *Reconciler) secretHandler() handler.EventHandler {
	changed := func(ctx context.Context, secret client.Object, add func(reconcile.Request)) {
		for _, request := range r.tokensOfSecret(ctx, secret) {
			if !r.memory.shown(request.NamespacedName, secret) {
				add(request)
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, queue fairqueue.EventQueue) {
			add := queue.Add
			if e.IsInInitialList {
				// Before the first reconcile the renewal time is unknown: the renewal may be due
				// now.
				add = fairqueue.AddWith(queue, fairqueue.Renewal(r.Clock.Now()))
			}
			changed(ctx, e.Object, add)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, queue fairqueue.EventQueue) {
			changed(ctx, e.ObjectNew, queue.Add)
		},
		GenericFunc: func(ctx context.Context, e event.GenericEvent, queue fairqueue.EventQueue) {
			changed(ctx, e.Object, queue.Add)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, queue fairqueue.EventQueue) {
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
func (r *Reconciler) tokensOfSecret(ctx context.Context, secret client.Object) []reconcile.Request {
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

func (r *Reconciler) tokensOfEnvironment(ctx context.Context, environment client.Object) []reconcile.Request {
	return r.find(ctx, usingEnvironment(environment))
}

func usingEnvironment(environment client.Object) client.MatchingFields {
	return client.MatchingFields{connection.UsersIndex: client.ObjectKeyFromObject(environment).String()}
}

// tokensOfNamespace returns the PipesTokens of a namespace whose grants may depend on the labels
// of the namespace.
func (r *Reconciler) tokensOfNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	environments := &v1alpha1.PipesEnvironmentList{}
	if err := r.Client.List(ctx, environments, client.DisableReadYourWritesConsistency); err != nil {
		log.FromContext(ctx).Error(err, "Cannot list PipesEnvironments, so a changed namespace may be noticed late",
			"namespace", namespace.GetName())
		return nil
	}
	var requests []reconcile.Request
	for i := range environments.Items {
		environment := &environments.Items[i]
		if grants.DependsOnLabels(environment) {
			requests = append(requests, r.find(ctx, client.InNamespace(namespace.GetName()), usingEnvironment(environment))...)
		}
	}
	return requests
}

func (r *Reconciler) find(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	tokens := r.list(ctx, options...)
	requests := make([]reconcile.Request, 0, len(tokens))
	for i := range tokens {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&tokens[i])})
	}
	return requests
}

// list returns PipesTokens from the cache. The caller must not change them.
func (r *Reconciler) list(ctx context.Context, options ...client.ListOption) []v1alpha1.PipesToken {
	tokens := &v1alpha1.PipesTokenList{}
	if err := r.Client.List(ctx, tokens,
		append(options, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)...); err != nil {
		log.FromContext(ctx).Error(err, "Cannot list PipesTokens, so a change may be noticed late")
		return nil
	}
	return tokens.Items
}

// environmentMatters accepts the events that can affect a PipesToken: a change of the spec, or a
// change of the Ready condition.
func environmentMatters() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.PipesEnvironment), e.ObjectNew.(*v1alpha1.PipesEnvironment)
		was, is := conditions.Ready(before.Status.Conditions), conditions.Ready(after.Status.Conditions)
		return before.Generation != after.Generation || was.Reason != is.Reason || was.Status != is.Status
	}}
}
