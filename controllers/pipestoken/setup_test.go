package pipestoken

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
)

// fair returns the queue of a controller as cmd/pipes-operator creates it.
func fair(t *testing.T) *fairqueue.Queue {
	t.Helper()
	queue := fairqueue.New(fairqueue.Options{
		RateLimiter: workqueue.DefaultTypedControllerRateLimiter[reconcile.Request](), Clock: clock.RealClock{},
	})
	t.Cleanup(queue.ShutDown)
	return queue
}

func expectNext(t *testing.T, queue *fairqueue.Queue, want reconcile.Request, priority int) {
	t.Helper()
	if queue.Len() == 0 {
		t.Fatalf("nothing is ready, want %v", want)
	}
	if got, with, _ := queue.GetWithPriority(); got != want || with != priority {
		t.Errorf("got %v with priority %d, want %v with %d", got, with, want, priority)
	}
}

// Defect, found by measurement: a process started while more renewals were due than the API
// server could take. It reconciled the tokens that it had not seen yet only when no other renewal
// was due, and some of them expired.
func TestATokenThatIsThereAtTheStartDoesNotWaitForTheRenewalsOfOthers(t *testing.T) {
	reconciler, request := quiet(t)
	held, queue := reconciler.Client.(*caches), fair(t)
	(&handler.EnqueueRequestForObject{}).Create(t.Context(), event.CreateEvent{Object: held.token, IsInInitialList: true}, queue)
	reconciler.secretHandler().Create(t.Context(), event.CreateEvent{Object: held.secret, IsInInitialList: true}, queue)
	expectNext(t, queue, request, fairqueue.Renewal(reconciler.Clock.Now()))
}

// A Secret of that name that a user creates later must not give the PipesToken a higher priority.
func TestASecretThatIsCreatedLaterIsAnEdit(t *testing.T) {
	reconciler, request := quiet(t)
	queue := fair(t)
	reconciler.secretHandler().Create(t.Context(), event.CreateEvent{Object: reconciler.Client.(*caches).secret}, queue)
	expectNext(t, queue, request, fairqueue.Ordinary)
}

// A changed PipesEnvironment, or changed labels of a namespace, may have lost a grant. Objects
// that exist when the process starts are no sign of a lost grant.
func TestEventsThatMayTakeARightAwayComeFirst(t *testing.T) {
	request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "agents", Name: "github"}}
	watch := fairqueue.Withdrawing(handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{request}
	}))
	before := &v1alpha1.PipesEnvironment{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1"}}
	after := &v1alpha1.PipesEnvironment{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "2"}}
	for name, test := range map[string]struct {
		happens func(context.Context, fairqueue.EventQueue)
		want    int
	}{
		"created": {func(ctx context.Context, q fairqueue.EventQueue) {
			watch.Create(ctx, event.CreateEvent{Object: after}, q)
		}, fairqueue.Withdrawal},
		"there at the start": {func(ctx context.Context, q fairqueue.EventQueue) {
			watch.Create(ctx, event.CreateEvent{Object: after, IsInInitialList: true}, q)
		}, handler.LowPriority},
		"changed": {func(ctx context.Context, q fairqueue.EventQueue) {
			watch.Update(ctx, event.UpdateEvent{ObjectOld: before, ObjectNew: after}, q)
		}, fairqueue.Withdrawal},
		"listed again": {func(ctx context.Context, q fairqueue.EventQueue) {
			watch.Update(ctx, event.UpdateEvent{ObjectOld: after, ObjectNew: after}, q)
		}, handler.LowPriority},
		"deleted": {func(ctx context.Context, q fairqueue.EventQueue) {
			watch.Delete(ctx, event.DeleteEvent{Object: after}, q)
		}, fairqueue.Withdrawal},
		"notified": {func(ctx context.Context, q fairqueue.EventQueue) {
			watch.Generic(ctx, event.GenericEvent{Object: after}, q)
		}, fairqueue.Withdrawal},
	} {
		t.Run(name, func(t *testing.T) {
			queue := fair(t)
			test.happens(t.Context(), queue)
			expectNext(t, queue, request, test.want)
		})
	}
}

func TestThoseThatRecoverComeByTheExpiryOfTheirToken(t *testing.T) {
	expires := metav1.NewTime(time.Unix(2e9, 0))
	with, without := &v1alpha1.PipesToken{}, &v1alpha1.PipesToken{}
	with.Status.ExpirationTime = &expires
	if got := recoveryUrgency(with); got != fairqueue.Renewal(expires.Time) {
		t.Errorf("with a token: priority %d, want that of a renewal", got)
	}
	if got := recoveryUrgency(without); got != fairqueue.Ordinary {
		t.Errorf("without a token: priority %d, want %d", got, fairqueue.Ordinary)
	}
}
