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
	"github.com/pipes-operator/pipes-operator/internal/liveness"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
)

// +kubebuilder:rbac:groups=pipes.workos.com,resources=pipestokens;pipesenvironments,verbs=get;list;watch
// +kubebuilder:rbac:groups=pipes.workos.com,resources=pipestokens/status;pipesenvironments/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=create;patch;delete;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// PipesTokenReconciler keeps a valid token in the Secret of each PipesToken.
type PipesTokenReconciler struct {
	// Client reads from caches and writes status.
	Client client.Client
	// Secrets writes Secrets.
	Secrets *SecretClient
	// Connections provides the WorkOS client of each PipesEnvironment.
	Connections *Connections
	// Recorder emits events.
	Recorder events.EventRecorder
	// Clock tells the time: at the beginning of a reconcile, and again after a call to WorkOS.
	Clock clock.PassiveClock
	// SlowWrite is how long a write of a Secret may take before the status reports that it has
	// not ended. Zero: 3 s. Negative: the status never reports it.
	SlowWrite time.Duration
	// Metrics counts what happens.
	Metrics *Metrics
	// Watchdog checks that reconciles make progress. Nil: no check.
	Watchdog *liveness.Watchdog
	// Shard is the set of PipesTokens that the caches hold.
	Shard sharding.Shard
	// DefaultEnvironment is the PipesEnvironment of PipesTokens that name none. Zero: they have
	// none.
	DefaultEnvironment types.NamespacedName
	// WatchNamespaces are the namespaces that the caches hold. Empty: all.
	WatchNamespaces sets.Set[string]
	// IgnoreNamespaceLabels says that the operator does not read the labels of namespaces,
	// because it has no right to read them. Grants that select by label then match no namespace.
	IgnoreNamespaceLabels bool
	// AllowedSecretMetadata are domains, each with its subdomains. PipesTokens may set labels
	// and annotations of these domains on their Secrets, although other controllers act on them.
	// Empty: none.
	AllowedSecretMetadata []string

	memory    memory
	habits    habits
	unwritten unwritten
	requeue   prompt
}

// Reconcile reconciles one PipesToken. For an object that exists, every reconcile returns the
// delay until the next reconcile, because an event that arrives before the timer consumes the
// timer.
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

// forget drops the memory of a deleted PipesToken. Garbage collection deletes the Secret.
// Nothing is revoked at WorkOS, because the connection belongs to the user.
func (r *PipesTokenReconciler) forget(name types.NamespacedName) {
	r.memory.forget(name)
	r.unwritten.forget(name)
	r.Metrics.Forget(name)
}

// environmentOf returns the name of the PipesEnvironment of token; the zero name if token has
// none.
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
