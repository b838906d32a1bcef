package pipesenvironment

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/eventfeed"
)

// eventsFollowed returns the condition EventsFollowed; nil if events are disabled, or nothing is
// known of them yet. A process that has just started keeps the condition until it knows more.
func (r *Reconciler) eventsFollowed(environment *v1alpha1.PipesEnvironment) *metav1.Condition {
	if r.Feed == nil || !eventfeed.Enabled(environment) {
		return nil
	}
	problem, known := r.Feed.Problem(environment)
	if !known {
		return meta.FindStatusCondition(environment.Status.Conditions, v1alpha1.EventsFollowedCondition)
	}
	followed := conditions.New(v1alpha1.EventsFollowedCondition, metav1.ConditionTrue, v1alpha1.EventsReceivedReason,
		"WorkOS tells the operator when users connect and disconnect")
	if problem.Present() {
		followed = conditions.Of(v1alpha1.EventsFollowedCondition, metav1.ConditionFalse, problem)
	}
	return &followed
}

// announceEvents emits an event when EventsFollowed becomes False, and when it is True again.
func (r *Reconciler) announceEvents(environment *v1alpha1.PipesEnvironment, told []metav1.Condition) {
	before := meta.FindStatusCondition(environment.Status.Conditions, v1alpha1.EventsFollowedCondition)
	now := meta.FindStatusCondition(told, v1alpha1.EventsFollowedCondition)
	switch {
	case now == nil || before != nil && before.Status == now.Status && before.Reason == now.Reason:
	case now.Status == metav1.ConditionFalse:
		r.Recorder.Eventf(environment, nil, corev1.EventTypeWarning, now.Reason, "FollowEvents", "%s", now.Message)
	case before != nil:
		r.Recorder.Eventf(environment, nil, corev1.EventTypeNormal, now.Reason, "FollowEvents", "%s", now.Message)
	}
}
