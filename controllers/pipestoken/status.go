package pipestoken

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	v1alpha1ac "github.com/pipes-operator/pipes-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/refresh"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// statusOf returns the complete status for an outcome. It derives the status from the Secret and
// the finding. From the previous status it takes only the transition times, the last statement
// of WorkOS about the connection, and the refresh request that was handled.
func statusOf(done outcome) v1alpha1.PipesTokenStatus {
	after := done.after()
	before := after.token.Status
	status := v1alpha1.PipesTokenStatus{
		ObservedGeneration:        after.token.Generation,
		LastHandledRefreshRequest: before.LastHandledRefreshRequest,
		Conditions:                conditionsOf(done),
		EnvironmentRef:            environmentInUse(after),
	}
	switch answered := after.last.refresh.answered; {
	case done.call.answer.Sent && !done.dropped():
		status.LastHandledRefreshRequest = done.call.request
	case answered != "" && answered == refresh.Request(after.token):
		// WorkOS has answered the request, but the status was not written. If another request is
		// on the object now, the remembered request may be older than the request in the status.
		status.LastHandledRefreshRequest = answered
	}
	// An orphaned Secret stays bound: its token must still be removed when the grant is
	// withdrawn.
	orphaned := after.secret.State == tokensecret.Orphaned && before.Binding != nil
	if after.secret.IsOurs() || orphaned || done.finding.Remains != "" {
		status.Binding = &v1alpha1.SecretReference{Name: after.token.TargetSecretName()}
	}
	if after.secret.State == tokensecret.Intact {
		describeToken(&status, after)
	}
	conditions.Complete(status.Conditions, before.Conditions, after.token.Generation, after.local())
	return status
}

// environmentInUse names the PipesEnvironment of the PipesToken, also if the spec names none. Nil:
// there is none.
func environmentInUse(after observation) *v1alpha1.EnvironmentReference {
	name, before := after.origin.name, after.token.Status.EnvironmentRef
	used := v1alpha1.EnvironmentReference{Namespace: name.Namespace, Name: name.Name}
	switch {
	case name.Name == "":
		return nil
	case before != nil && *before == used: // most reconciles, so that they need no memory for it
		return before
	default:
		return &used
	}
}

// describeToken sets the fields that describe the token in the Secret.
func describeToken(status *v1alpha1.PipesTokenStatus, after observation) {
	facts := after.secret.Facts
	status.LastRefreshTime = timeOrNil(facts.ObtainedAt)
	status.ExpirationTime = timeOrNil(facts.ExpiresAt)
	if !facts.ExpiresAt.IsZero() {
		status.RenewalTime = timeOrNil(after.nextDue())
	}
	status.Scopes, status.MissingScopes = facts.Scopes, facts.MissingScopes
}

// conditionsOf returns the conditions in the order in which people read them.
func conditionsOf(done outcome) []metav1.Condition {
	ready, beside := readiness(done)
	all := []metav1.Condition{ready}
	if connected := connectedCondition(done); connected != nil {
		all = append(all, *connected)
	}
	if done.secret.State == tokensecret.Intact {
		all = append(all, scopesGranted(done.secret.Facts))
	}
	if beside != nil {
		all = append(all, *beside)
	}
	return all
}

// readiness returns the Ready condition, and the condition beside it: RenewalFailed, Stalled,
// Reconciling or nil.
func readiness(done outcome) (ready metav1.Condition, beside *metav1.Condition) {
	after, found := done.after(), done.finding
	valid := after.secret.HoldsValidToken(after.now)
	synced := conditions.New(v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.TokenSyncedReason,
		fmt.Sprintf("Secret %q holds a valid token", after.token.TargetSecretName()))
	switch {
	case !found.Present() && valid:
		return synced, nil
	case after.hides(found):
		failed := conditions.Of(v1alpha1.RenewalFailedCondition, metav1.ConditionTrue, found)
		return synced, &failed
	case found.Present():
		return notReady(metav1.ConditionFalse, traitOf(found).mark, found)
	case after.secret.State == tokensecret.Intact:
		return notReady(metav1.ConditionFalse, v1alpha1.ReconcilingCondition, finding.New(v1alpha1.TokenExpiredReason,
			"The token has expired, and there is no newer one yet: the operator asks for it"))
	case deleting(after.token):
		return notReady(metav1.ConditionUnknown, v1alpha1.ReconcilingCondition, finding.New(v1alpha1.PendingReason,
			"The PipesToken is being deleted, so no token is fetched for it"))
	default:
		return notReady(metav1.ConditionUnknown, v1alpha1.ReconcilingCondition, finding.New(v1alpha1.PendingReason,
			"Waiting for the next call to WorkOS to be due, within the requestsPerMinute of the PipesEnvironment"))
	}
}

func notReady(
	status metav1.ConditionStatus, mark string, found finding.Finding,
) (ready metav1.Condition, beside *metav1.Condition) {
	marked := conditions.Of(mark, metav1.ConditionTrue, found)
	return conditions.Of(v1alpha1.ReadyCondition, status, found), &marked
}

// connectedCondition returns the last statement of WorkOS about the connection, from this
// reconcile or an earlier one. Nil: WorkOS has made no statement yet.
func connectedCondition(done outcome) *metav1.Condition {
	switch done.call.answer.Outcome {
	case workos.OutcomeToken:
		return connectedByToken
	case workos.OutcomeNotInstalled, workos.OutcomeNeedsReauthorization, workos.OutcomeInactive:
		connected := conditions.New(v1alpha1.ConnectedCondition, metav1.ConditionFalse,
			done.finding.Reason, done.finding.Cause())
		return &connected
	default:
		return connectedBefore(done)
	}
}

// connectedBefore returns what was known of the connection before this reconcile.
func connectedBefore(done outcome) *metav1.Condition {
	if done.seen.last.connected != nil {
		return done.seen.last.connected
	}
	if known := connectedFromStatus(done.seen.token); known != nil {
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

func connectedFromStatus(token *v1alpha1.PipesToken) *metav1.Condition {
	return meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ConnectedCondition)
}

// trouble returns the condition that reports a problem; nil if none does.
func trouble(conditions []metav1.Condition) *metav1.Condition {
	if failed := meta.FindStatusCondition(conditions, v1alpha1.RenewalFailedCondition); failed != nil {
		return failed
	}
	if ready := meta.FindStatusCondition(conditions, v1alpha1.ReadyCondition); ready != nil &&
		ready.Status == metav1.ConditionFalse {
		return ready
	}
	return nil
}

// troubleSince returns since when the conditions have reported a problem; now if they report
// none.
func troubleSince(conditions []metav1.Condition, now time.Time) time.Time {
	if told := trouble(conditions); told != nil {
		return told.LastTransitionTime.Time
	}
	return now
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
		return conditions.New(v1alpha1.ScopesGrantedCondition, metav1.ConditionTrue, v1alpha1.AllScopesGrantedReason,
			"The user has granted every scope that the integration asks for"+note)
	}
	return conditions.New(v1alpha1.ScopesGrantedCondition, metav1.ConditionFalse, v1alpha1.MissingScopesReason,
		"The user has not granted: "+conditions.Printable(strings.Join(facts.MissingScopes, ", "))+note)
}

func timeOrNil(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	stored := metav1.NewTime(conditions.Stored(t))
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
		WithConditions(conditions.Configurations(status.Conditions)...).
		WithScopes(status.Scopes...).
		WithMissingScopes(status.MissingScopes...)
	applied.ExpirationTime, applied.RenewalTime, applied.LastRefreshTime =
		status.ExpirationTime, status.RenewalTime, status.LastRefreshTime
	if status.LastHandledRefreshRequest != "" {
		applied.WithLastHandledRefreshRequest(status.LastHandledRefreshRequest)
	}
	if used := status.EnvironmentRef; used != nil {
		applied.WithEnvironmentRef(v1alpha1ac.EnvironmentReference().WithNamespace(used.Namespace).WithName(used.Name))
	}
	if status.Binding != nil {
		applied.WithBinding(v1alpha1ac.SecretReference().WithName(status.Binding.Name))
	}
	return v1alpha1ac.PipesToken(token.Name, token.Namespace).
		WithUID(token.UID).
		WithResourceVersion(token.ResourceVersion).
		WithStatus(applied)
}
