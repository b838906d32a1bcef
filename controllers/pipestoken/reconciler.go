package pipestoken

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/audit"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/connection"
	"github.com/pipes-operator/pipes-operator/internal/eventfeed"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
	"github.com/pipes-operator/pipes-operator/internal/ledger"
	"github.com/pipes-operator/pipes-operator/internal/liveness"
	"github.com/pipes-operator/pipes-operator/internal/metrics"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
)

// +kubebuilder:rbac:groups=pipes.workos.com,resources=pipestokens;pipesenvironments,verbs=get;list;watch
// +kubebuilder:rbac:groups=pipes.workos.com,resources=pipestokens/status;pipesenvironments/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=create;patch;delete;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler keeps a valid token in the Secret of each PipesToken.
type Reconciler struct {
	// Client reads from caches and writes status.
	Client client.Client
	// Secrets writes Secrets.
	Secrets *SecretClient
	// Connections provides the WorkOS client of each PipesEnvironment.
	Connections *connection.Registry
	// Feed knows whether the events of WorkOS are followed. Nil: they are not.
	Feed *eventfeed.Feed
	// Recorder emits events.
	Recorder events.EventRecorder
	// Clock tells the time: at the beginning of a reconcile, and again after a call to WorkOS.
	Clock clock.PassiveClock
	// SlowWrite is how long a write of a Secret may take before the status reports that it has
	// not ended. Zero: 3 s. Negative: the status never reports it.
	SlowWrite time.Duration
	// Ledger records when each PipesToken is due.
	Ledger *ledger.Ledger
	// Metrics counts what happens.
	Metrics *metrics.Metrics
	// Audit records each token that is handed out, cleared or refused. Nil: nothing is recorded.
	Audit *audit.Log
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
	leads     leads
	unwritten unwritten
	requeue   fairqueue.Prompt
}

// Reconcile reconciles one PipesToken. For an object that exists, every reconcile returns the
// delay until the next reconcile, because an event that arrives before the timer consumes the
// timer.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	token := &v1alpha1.PipesToken{}
	err := r.Client.Get(ctx, request.NamespacedName, token)
	if apierrors.IsNotFound(err) {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading the PipesToken: %w", err)
	}

	r.enter(token)
	seen, err := r.observe(ctx, token)
	if err != nil {
		return ctrl.Result{}, err
	}
	r.auditSeen(seen)
	outcome, err := r.act(ctx, seen, decide(seen))
	if err != nil {
		return ctrl.Result{}, err
	}
	return r.report(ctx, outcome)
}

// forget drops the memory of a deleted PipesToken. Garbage collection deletes the Secret.
// Nothing is revoked at WorkOS, because the connection belongs to the user.
func (r *Reconciler) forget(name types.NamespacedName) {
	r.memory.forget(name)
	r.unwritten.forget(name)
	r.Ledger.Forget(name)
}

// enter records a PipesToken before its first reconcile. If all its reconciles fail, it is then
// reported as overdue.
func (r *Reconciler) enter(token *v1alpha1.PipesToken) {
	first := entryOf(token.Status)
	first.Due = r.Clock.Now()
	r.Ledger.Enter(client.ObjectKeyFromObject(token), first)
}

// entryOf returns what the ledger records of a status.
func entryOf(status v1alpha1.PipesTokenStatus) ledger.Entry {
	entry := ledger.Entry{Reason: conditions.Ready(status.Conditions).Reason}
	if failed := meta.FindStatusCondition(status.Conditions, v1alpha1.RenewalFailedCondition); failed != nil {
		entry.Failing = failed.Reason
	}
	if status.ExpirationTime != nil {
		entry.Expires = status.ExpirationTime.Time
	}
	return entry
}

// environmentOf returns the name of the PipesEnvironment of token; the zero name if token has
// none.
func (r *Reconciler) environmentOf(token *v1alpha1.PipesToken) types.NamespacedName {
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
