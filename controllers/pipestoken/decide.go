package pipestoken

import (
	"fmt"
	"strings"
	"time"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/grants"
	"github.com/pipes-operator/pipes-operator/internal/refresh"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// action is the operation that a reconcile performs.
type action string

const (
	// wait: do nothing until something changes or is due.
	wait action = "wait"
	// fetch: ask WorkOS for the token, and act on the answer.
	fetch action = "fetch"
	// withdraw: apply inactivePolicy to the Secret.
	withdraw action = "withdraw"
	// relabel: update the labels and annotations of the Secret, without a call to WorkOS.
	relabel action = "relabel"
)

// decision is the action to perform, and the finding to report if there is a problem.
type decision struct {
	action  action
	finding finding.Finding
	// cause says why to fetch, for the log.
	cause string
	// due is when the fetch was due. Zero: the cause of the fetch has no due time.
	due time.Time
}

// decide is the specification of a reconcile. Obstacles come first, then causes for a fetch, and
// then repairs that need no fetch.
func decide(seen observation) decision {
	if obstacle := firstObstacle(seen); obstacle.Present() {
		if seen.withdraws(obstacle) {
			return decision{action: withdraw, finding: obstacle}
		}
		return decision{action: wait, finding: obstacle}
	}
	if cause, due := fetchCause(seen); cause != "" {
		return decision{action: fetch, cause: cause, due: due}
	}
	switch {
	case seen.withdraws(seen.standing):
		return decision{action: withdraw, finding: seen.standing}
	case (seen.secret.State == tokensecret.Intact || seen.secret.State == tokensecret.Empty) &&
		!seen.token.Spec.Suspend && !deleting(seen.token):
		return decision{action: relabel, finding: seen.standing}
	default:
		return decision{action: wait, finding: seen.standing}
	}
}

// firstObstacle returns the most serious obstacle that is visible without a call to WorkOS. The
// order matters: a withdrawn grant takes the token away even from a suspended PipesToken. A
// missing PipesEnvironment comes before that, because its grants cannot be read.
func firstObstacle(seen observation) finding.Finding {
	for _, obstacle := range []func(observation) finding.Finding{
		environmentMissing, grantMissing, suspended, secretTaken, templateBroken,
	} {
		if found := obstacle(seen); found.Present() {
			return found
		}
	}
	return finding.Finding{}
}

func environmentMissing(seen observation) finding.Finding {
	switch {
	case seen.origin.environment != nil:
		return finding.Finding{}
	case seen.origin.name.Name == "":
		return finding.New(v1alpha1.EnvironmentNotFoundReason,
			"The PipesToken names no PipesEnvironment, and the operator has no default: "+
				"set spec.environmentRef on a new PipesToken, or start the operator with --default-environment")
	default:
		return finding.Newf(v1alpha1.EnvironmentNotFoundReason,
			"PipesEnvironment %q does not exist in namespace %q, or the operator does not watch that namespace: create it there",
			seen.origin.name.Name, seen.origin.name.Namespace)
	}
}

func grantMissing(seen observation) finding.Finding {
	if seen.origin.granted {
		return finding.Finding{}
	}
	spec := seen.token.Spec
	organization := "no organization"
	if spec.OrganizationID != "" {
		organization = fmt.Sprintf("organization %q", spec.OrganizationID)
	}
	owner := ""
	if spec.ConnectionOwner == v1alpha1.ConnectionOwnerOrganization {
		owner = "the organization's connection with "
	}
	return finding.Newf(v1alpha1.NotGrantedReason,
		"No grant of PipesEnvironment %q in namespace %q allows namespace %q to ask for %sslug %q, user %q and %s: "+
			"its owner can add one to spec.grants%s",
		seen.origin.name.Name, seen.origin.name.Namespace, seen.token.Namespace,
		owner, spec.Slug, spec.UserID, organization, labelAdvice(seen.origin.mismatches))
}

// labelAdvice returns a sentence for each label of the namespace that a grant takes an ID from, and
// that does not have the ID.
func labelAdvice(mismatches []grants.Mismatch) string {
	var advice strings.Builder
	for _, mismatch := range mismatches {
		fmt.Fprintf(&advice, ". A grant takes the %s from label %q of the namespace: ", mismatch.Subject, mismatch.Label)
		if mismatch.Value == "" {
			advice.WriteString("the namespace has no such label, or its value is empty")
		} else {
			fmt.Fprintf(&advice, "its value is %q", mismatch.Value)
		}
	}
	return advice.String()
}

func suspended(seen observation) finding.Finding {
	if !seen.token.Spec.Suspend || seen.secret.HoldsValidToken(seen.now) {
		return finding.Finding{}
	}
	return finding.New(v1alpha1.SuspendedReason,
		"spec.suspend is true and the Secret holds no valid token: set it to false to get one")
}

func secretTaken(seen observation) finding.Finding {
	if seen.secret.State != tokensecret.Foreign {
		return finding.Finding{}
	}
	return conflict(seen.token)
}

func conflict(token *v1alpha1.PipesToken) finding.Finding {
	return finding.Newf(v1alpha1.SecretConflictReason,
		"Secret %q exists and belongs to somebody else, so it is left alone: "+
			"delete or rename it, or create a PipesToken with another spec.secretName",
		token.TargetSecretName())
}

func templateBroken(seen observation) finding.Finding {
	if seen.templateErr == nil {
		return finding.Finding{}
	}
	return finding.New(v1alpha1.InvalidTemplateReason,
		conditions.Printable(fmt.Sprintf("Cannot use the template, fix it: %v", seen.templateErr)))
}

// renewalIsDue is the cause of a fetch that has no other reason than the time.
const renewalIsDue = "renewal is due"

// fetchCause returns why to ask WorkOS now, and since when the fetch has been due. The cause is
// empty if the Secret needs no fetch, or if it is too early for the next attempt.
func fetchCause(seen observation) (cause string, due time.Time) {
	switch {
	case seen.token.Spec.Suspend, deleting(seen.token):
		return "", time.Time{}
	case seen.refreshRequested() && (!seen.last.refresh.waits || !seen.now.Before(seen.notBefore())):
		return "a refresh was requested", time.Time{}
	case seen.isHinted() && (!seen.last.refresh.waits || !seen.now.Before(seen.notBefore())):
		return "an event of WorkOS names the connection", time.Time{}
	case seen.now.Before(seen.notBefore()):
		return "", time.Time{}
	case seen.standing.Present() && !isUnwritten(seen.standing):
		return "the last attempt failed", seen.last.schedule.notBefore
	case seen.doubtful():
		return seen.flaw(), seen.last.schedule.notBefore
	case seen.flaw() != "":
		return seen.flaw(), time.Time{}
	}
	if due := seen.renewalDue(); !seen.now.Before(due) {
		return renewalIsDue, latest(due, seen.last.schedule.notBefore)
	}
	return "", time.Time{}
}

// isHinted reports whether an event of WorkOS has come for which no call was made yet.
func (seen observation) isHinted() bool { return !seen.hinted.IsZero() }

// flaw returns the defect of the Secret that a fetch fixes. Such a fetch does not wait for the
// renewal. Empty: the Secret has no defect.
func (seen observation) flaw() string {
	if seen.doubtful() {
		return "the Secret holds a token that the status knows nothing of"
	}
	switch seen.secret.State {
	case tokensecret.Absent:
		return "there is no Secret"
	case tokensecret.Orphaned:
		return "the Secret was orphaned"
	case tokensecret.Empty:
		return "the Secret holds no token"
	case tokensecret.Altered:
		return "the Secret was altered"
	case tokensecret.Intact, tokensecret.Foreign:
	}
	switch {
	case seen.template != nil && seen.secret.Facts.TemplateHash != seen.template.Hash():
		return "the template has changed"
	case seen.clockWasAhead():
		return "the clock was ahead when the token was obtained"
	default:
		return ""
	}
}

// clockWasAhead reports whether the Secret was written by a replica whose clock was ahead. The
// facts in the Secret then do not tell when to renew the token. The clocks of healthy replicas
// differ by less than the tolerance, so that a failover does not cause a fetch.
func (seen observation) clockWasAhead() bool {
	const tolerance = time.Minute
	return seen.secret.Facts.ObtainedAt.After(seen.now.Add(tolerance))
}

// refreshRequested reports whether a refresh request has not been answered yet. The status
// contains the last request that was answered. Until the status is written, the memory contains
// it.
func (seen observation) refreshRequested() bool {
	request := refresh.Request(seen.token)
	return request != "" && request != seen.token.Status.LastHandledRefreshRequest && request != seen.last.refresh.answered
}
