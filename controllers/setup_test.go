package controllers

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Found by measurement: a process that was started while more renewals were due than the API server could take looked at the tokens
// that it had not looked at yet only when no other was due, and some of them expired.
func TestATokenThatIsThereAtTheStartDoesNotWaitForTheRenewalsOfOthers(t *testing.T) {
	reconciler, request := quiet(t)
	held := reconciler.Client.(*caches)
	queue := priorityqueue.New[reconcile.Request]("test")
	defer queue.ShutDown()
	(&handler.EnqueueRequestForObject{}).Create(t.Context(), event.CreateEvent{Object: held.token, IsInInitialList: true}, queue)
	reconciler.secretHandler().Create(t.Context(), event.CreateEvent{Object: held.secret, IsInInitialList: true}, queue)
	if got, priority, _ := queue.GetWithPriority(); got != request || priority != priorityRenewal {
		t.Errorf("got %v with priority %d, want %v with %d", got, priority, request, priorityRenewal)
	}
}
