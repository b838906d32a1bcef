package controllers

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// +kubebuilder:rbac:groups=pipes.workos.com,resources=pipestokens;pipesenvironments,verbs=get;list;watch
// +kubebuilder:rbac:groups=pipes.workos.com,resources=pipestokens/status;pipesenvironments/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=create;patch;delete;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// PipesTokenReconciler keeps the Secret of each PipesToken filled with a valid token.
type PipesTokenReconciler struct {
	// Client reads from caches and writes status.
	Client client.Client
	// Secrets writes Secrets.
	Secrets *SecretClient
	// Connections leads from a PipesEnvironment to WorkOS.
	Connections *Connections
	// Recorder emits events.
	Recorder events.EventRecorder
	// Clock tells the time: at the beginning of a reconcile, and again after a call to WorkOS.
	Clock clock.PassiveClock
	// SlowWrite is how long a write of a Secret may take before the status tells that it has not ended.
	// Zero: 3 s. Negative: it is never told.
	SlowWrite time.Duration
	// Metrics counts what happens.
	Metrics *Metrics
	// Watchdog looks after the passes. Nil: nobody does.
	Watchdog *Watchdog
	// Shard is the part of all PipesTokens that the caches show.
	Shard Shard
	// DefaultEnvironment is the PipesEnvironment of PipesTokens that name none. Zero: they have none.
	DefaultEnvironment types.NamespacedName
	// WatchNamespaces are the namespaces that the caches show; empty: all.
	WatchNamespaces sets.Set[string]
	// IgnoreNamespaceLabels leaves the labels of namespaces unread, for an operator that has no right to them: grants that
	// select by label then fit nobody.
	IgnoreNamespaceLabels bool
	// AllowedSecretMetadata are domains, each with its subdomains, whose keys PipesTokens may put
	// on their Secrets although other controllers act on Secrets with such keys. Empty: none.
	AllowedSecretMetadata []string

	memory    memory
	habits    habits
	unwritten unwritten
	requeue   prompt
}

// Reconcile makes one pass over one PipesToken. Every pass of an object that exists returns when the next one is due, because
// an event that arrives while a timer is pending uses the timer up.
func (r *PipesTokenReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	token := &v1alpha1.PipesToken{}
	err := r.Client.Get(ctx, request.NamespacedName, token)
	if apierrors.IsNotFound(err) {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading the PipesToken: %w", err)
	}

	r.Metrics.Enter(request.NamespacedName, token.Status)
	seen, err := r.observe(ctx, token)
	if err != nil {
		return ctrl.Result{}, err
	}
	outcome, err := r.act(ctx, seen, decide(seen))
	if err != nil {
		return ctrl.Result{}, err
	}
	return r.report(ctx, outcome)
}

// forget drops what is remembered of a PipesToken that is gone. Garbage collection deletes the Secret.
// At WorkOS nothing is revoked: the connection is the user's.
func (r *PipesTokenReconciler) forget(name types.NamespacedName) {
	r.memory.forget(name)
	r.unwritten.forget(name)
	r.Metrics.Forget(name)
}

// environmentOf names the PipesEnvironment of token; the zero name when there is none.
func (r *PipesTokenReconciler) environmentOf(token *v1alpha1.PipesToken) types.NamespacedName {
	ref := token.Spec.EnvironmentRef
	switch {
	case ref == nil:
		return r.DefaultEnvironment
	case ref.Namespace == "":
		return types.NamespacedName{Namespace: token.Namespace, Name: ref.Name}
	default:
		return types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
	}
}

// inSeconds is the grain at which instants are stored.
func inSeconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
