package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	v1alpha1ac "github.com/pipes-operator/pipes-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// statusOf returns the complete status for an outcome. It derives the status from the Secret and
// the finding. From the previous status it takes only the transition times, the last statement
// of WorkOS about the connection, and the refresh request that was handled.
func statusOf(done outcome) v1alpha1.PipesTokenStatus {
	before := done.token.Status
	status := v1alpha1.PipesTokenStatus{
		ObservedGeneration:        done.token.Generation,
		LastHandledRefreshRequest: before.LastHandledRefreshRequest,
	}
	switch {
	case done.answer.Sent && !done.dropped():
		status.LastHandledRefreshRequest = done.request
	case done.attempt.request != "" && done.attempt.request == refreshRequest(done.token):
		// WorkOS has answered the request, but the status was not written. If another request is
		// on the object now, the remembered request may be older than the request in the status.
		status.LastHandledRefreshRequest = done.attempt.request
	}
	// An orphaned Secret stays bound: its token must still be removed when the grant is
	// withdrawn.
	orphaned := done.secret.State == tokensecret.Orphaned && before.Binding != nil
	if done.secret.IsOurs() || orphaned || done.kept {
		status.Binding = &v1alpha1.SecretReference{Name: done.token.TargetSecretName()}
	}
	if done.secret.State == tokensecret.Intact {
		describeToken(&status, done)
	}
	for _, condition := range conditions(done) {
		condition.ObservedGeneration = done.token.Generation
		condition.LastTransitionTime = transitionTime(before.Conditions, condition, done.local())
		status.Conditions = append(status.Conditions, condition)
	}
	return status
}

// describeToken sets the fields that describe the token in the Secret.
func describeToken(status *v1alpha1.PipesTokenStatus, done outcome) {
	facts := done.secret.Facts
	status.LastRefreshTime = timeOrNil(facts.ObtainedAt)
	status.ExpirationTime = timeOrNil(facts.ExpiresAt)
	if !facts.ExpiresAt.IsZero() {
		status.RenewalTime = timeOrNil(done.nextDue())
	}
	status.Scopes, status.MissingScopes = facts.Scopes, facts.MissingScopes
}

// conditions returns the conditions in the order in which people read them.
func conditions(done outcome) []metav1.Condition {
	ready, beside := readiness(done)
	conditions := []metav1.Condition{ready}
	if connected := connectedCondition(done); connected != nil {
		conditions = append(conditions, *connected)
	}
	if done.secret.State == tokensecret.Intact {
		conditions = append(conditions, scopesGranted(done.secret.Facts))
	}
	if beside != nil {
		conditions = append(conditions, *beside)
	}
	return conditions
}

// readiness returns the Ready condition, and the condition beside it: RenewalFailed, Stalled,
// Reconciling or nil.
func readiness(done outcome) (ready metav1.Condition, beside *metav1.Condition) {
	valid := done.secret.HoldsValidToken(done.now)
	found, trait := done.finding, traits[done.finding.reason]
	synced := condition(v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.TokenSyncedReason,
		fmt.Sprintf("Secret %q holds a valid token", done.token.TargetSecretName()))
	switch {
	case !found.present() && valid:
		return synced, nil
	case done.hides(found):
		failed := condition(v1alpha1.RenewalFailedCondition, metav1.ConditionTrue, found.reason, found.message)
		return synced, &failed
	case found.present():
		mark := condition(trait.mark, metav1.ConditionTrue, found.reason, found.message)
		return condition(v1alpha1.ReadyCondition, metav1.ConditionFalse, found.reason, found.message), &mark
	case done.secret.State == tokensecret.Intact:
		found = finding{v1alpha1.TokenExpiredReason,
			"The token has expired, and there is no newer one yet: the operator asks for it"}
		mark := condition(v1alpha1.ReconcilingCondition, metav1.ConditionTrue, found.reason, found.message)
		return condition(v1alpha1.ReadyCondition, metav1.ConditionFalse, found.reason, found.message), &mark
	case deleting(done.token):
		found = finding{v1alpha1.PendingReason, "The PipesToken is being deleted, so no token is fetched for it"}
		mark := condition(v1alpha1.ReconcilingCondition, metav1.ConditionTrue, found.reason, found.message)
		return condition(v1alpha1.ReadyCondition, metav1.ConditionUnknown, found.reason, found.message), &mark
	default:
		found = finding{v1alpha1.PendingReason,
			"Waiting for the next call to WorkOS to be due, within the requestsPerMinute of the PipesEnvironment"}
		mark := condition(v1alpha1.ReconcilingCondition, metav1.ConditionTrue, found.reason, found.message)
		return condition(v1alpha1.ReadyCondition, metav1.ConditionUnknown, found.reason, found.message), &mark
	}
}

// connectedCondition returns the last statement of WorkOS about the connection, from this
// reconcile or an earlier one. Nil: WorkOS has made no statement yet.
func connectedCondition(done outcome) *metav1.Condition {
	switch done.answer.Outcome {
	case workos.OutcomeToken:
		return connectedByToken
	case workos.OutcomeNotInstalled, workos.OutcomeNeedsReauthorization, workos.OutcomeInactive:
		connected := condition(v1alpha1.ConnectedCondition, metav1.ConditionFalse, done.finding.reason, done.finding.message)
		return &connected
	default:
		return connectedBefore(done)
	}
}

// connectedBefore returns what was known of the connection before this reconcile.
func connectedBefore(done outcome) *metav1.Condition {
	if done.attempt.connected != nil {
		return done.attempt.connected
	}
	if known := meta.FindStatusCondition(done.token.Status.Conditions, v1alpha1.ConnectedCondition); known != nil {
		connected := *known // a copy, so that the memory does not keep the whole slice
		return &connected
	}
	if done.secret.State == tokensecret.Intact {
		// The status was not written, or it was lost. But only WorkOS can have returned that
		// token.
		return connectedByToken
	}
	return nil
}

// connectedByToken is the same for all PipesTokens, and the memory keeps it for most of them. It
// exists only once to save memory. Do not change it.
var connectedByToken = &metav1.Condition{
	Type: v1alpha1.ConnectedCondition, Status: metav1.ConditionTrue, Reason: v1alpha1.ConnectedReason,
	Message: "WorkOS returned a token for this user",
}

func scopesGranted(facts tokensecret.Facts) metav1.Condition {
	note := ""
	for _, scopes := range [][]string{facts.Scopes, facts.MissingScopes} {
		if workos.Truncated(scopes) {
			note = fmt.Sprintf(". Only the first %d scopes are listed, there may be more", len(scopes))
		}
	}
	if len(facts.MissingScopes) == 0 {
		return condition(v1alpha1.ScopesGrantedCondition, metav1.ConditionTrue, v1alpha1.AllScopesGrantedReason,
			"The user has granted every scope that the integration asks for"+note)
	}
	return condition(v1alpha1.ScopesGrantedCondition, metav1.ConditionFalse, v1alpha1.MissingScopesReason,
		"The user has not granted: "+printable(strings.Join(facts.MissingScopes, ", "))+note)
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// transitionTime returns the transition time of a condition. It changes only with the status of
// the condition.
func transitionTime(before []metav1.Condition, condition metav1.Condition, now time.Time) metav1.Time {
	if old := meta.FindStatusCondition(before, condition.Type); old != nil && old.Status == condition.Status {
		return old.LastTransitionTime
	}
	return metav1.NewTime(inSeconds(now))
}

// ownConditions are the types of the conditions that the operator sets. All other conditions in
// a status belong to somebody else.
var ownConditions = sets.New(v1alpha1.ReadyCondition, v1alpha1.ConnectedCondition, v1alpha1.ScopesGrantedCondition,
	v1alpha1.RenewalFailedCondition, v1alpha1.StalledCondition, v1alpha1.ReconcilingCondition,
	v1alpha1.GrantsValidCondition, v1alpha1.UpstreamFailingCondition,
	v1alpha1.BudgetTooSmallCondition, v1alpha1.ClockSkewedCondition)

// sameStatus reports whether before equals want. It compares long lists of scopes by their
// digests, because the caches hold only the digests.
func sameStatus(want, before v1alpha1.PipesTokenStatus) bool {
	if !sameConditions(want.Conditions, before.Conditions) {
		return false
	}
	want, before = withDigests(want), withDigests(before)
	want.Conditions, before.Conditions = nil, nil
	return equality.Semantic.DeepEqual(want, before)
}

// sameConditions compares the operator's own conditions. It ignores their order, which the API
// server chooses.
func sameConditions(want, before []metav1.Condition) bool {
	for _, c := range before {
		if ownConditions.Has(c.Type) && meta.FindStatusCondition(want, c.Type) == nil {
			return false
		}
	}
	return !slices.ContainsFunc(want, func(c metav1.Condition) bool {
		other := meta.FindStatusCondition(before, c.Type)
		return other == nil || !sameCondition(c, *other)
	})
}

// sameCondition compares the times as instants, not as they are represented in memory.
func sameCondition(a, b metav1.Condition) bool {
	same := a.LastTransitionTime.Equal(&b.LastTransitionTime)
	a.LastTransitionTime, b.LastTransitionTime = metav1.Time{}, metav1.Time{}
	return same && a == b
}

func timeOrNil(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	stored := metav1.NewTime(inSeconds(t))
	return &stored
}

// statusConfiguration returns the status for server-side apply. The status must be complete,
// because server-side apply removes the fields that are left out. With the UID and the
// resourceVersion, the API server refuses the write if the object was created again, or changed
// by another replica, after it was read.
func statusConfiguration(
	token *v1alpha1.PipesToken, status v1alpha1.PipesTokenStatus,
) *v1alpha1ac.PipesTokenApplyConfiguration {
	applied := v1alpha1ac.PipesTokenStatus().
		WithObservedGeneration(status.ObservedGeneration).
		WithConditions(conditionConfigurations(status.Conditions)...).
		WithScopes(status.Scopes...).
		WithMissingScopes(status.MissingScopes...)
	applied.ExpirationTime, applied.RenewalTime, applied.LastRefreshTime =
		status.ExpirationTime, status.RenewalTime, status.LastRefreshTime
	if status.LastHandledRefreshRequest != "" {
		applied.WithLastHandledRefreshRequest(status.LastHandledRefreshRequest)
	}
	if status.Binding != nil {
		applied.WithBinding(v1alpha1ac.SecretReference().WithName(status.Binding.Name))
	}
	return v1alpha1ac.PipesToken(token.Name, token.Namespace).
		WithUID(token.UID).
		WithResourceVersion(token.ResourceVersion).
		WithStatus(applied)
}

func conditionConfigurations(conditions []metav1.Condition) []*metav1ac.ConditionApplyConfiguration {
	configurations := make([]*metav1ac.ConditionApplyConfiguration, 0, len(conditions))
	for c := range slices.Values(conditions) {
		configurations = append(configurations, metav1ac.Condition().
			WithType(c.Type).WithStatus(c.Status).WithReason(c.Reason).WithMessage(c.Message).
			WithObservedGeneration(c.ObservedGeneration).WithLastTransitionTime(c.LastTransitionTime))
	}
	return configurations
}
