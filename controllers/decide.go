package controllers

import (
	"fmt"
	"strings"
	"time"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// action is the one thing that a pass does.
type action string

const (
	// wait: nothing, until something changes or is due.
	wait action = "wait"
	// fetch: ask WorkOS for the token, and write what it answers.
	fetch action = "fetch"
	// withdraw: apply inactivePolicy to the Secret.
	withdraw action = "withdraw"
	// relabel: bring labels and annotations of the Secret up to date, without asking for the token.
	relabel action = "relabel"
)

// decision is what to do, and what is wrong if anything.
type decision struct {
	action  action
	finding finding
	// cause says in words why to fetch, for the log.
	cause string
	// due is when the fetch was due; zero when it was for now.
	due time.Time
}

// decide is the specification of a pass: what stands in the way comes first, then what calls for a fetch, then what can be
// mended without one.
func decide(seen observation) decision {
	if obstacle := firstObstacle(seen); obstacle.present() {
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
	case (seen.secret.State == tokensecret.Intact || seen.secret.State == tokensecret.Empty) && !seen.token.Spec.Suspend && !deleting(seen.token):
		return decision{action: relabel, finding: seen.standing}
	default:
		return decision{action: wait, finding: seen.standing}
	}
}

// firstObstacle goes through what can be seen to stand in the way, gravest first: a grant that is gone takes the token away
// whatever else is the matter.
func firstObstacle(seen observation) finding {
	for _, obstacle := range []func(observation) finding{
		environmentMissing, grantMissing, suspended, secretTaken, templateBroken,
	} {
		if found := obstacle(seen); found.present() {
			return found
		}
	}
	return finding{}
}

func environmentMissing(seen observation) finding {
	switch {
	case seen.environment != nil:
		return finding{}
	case seen.environmentName.Name == "":
		return finding{v1alpha1.EnvironmentNotFoundReason,
			"The PipesToken names no PipesEnvironment, and the operator has no default: set spec.environmentRef on a new PipesToken, or start the operator with --default-environment"}
	default:
		return finding{v1alpha1.EnvironmentNotFoundReason, fmt.Sprintf(
			"PipesEnvironment %q does not exist in namespace %q, or the operator does not watch that namespace: create it there",
			seen.environmentName.Name, seen.environmentName.Namespace)}
	}
}

func grantMissing(seen observation) finding {
	if seen.granted {
		return finding{}
	}
	spec := seen.token.Spec
	organization := "no organization"
	if spec.OrganizationID != "" {
		organization = fmt.Sprintf("organization %q", spec.OrganizationID)
	}
	return finding{v1alpha1.NotGrantedReason, fmt.Sprintf(
		"No grant of PipesEnvironment %q in namespace %q allows namespace %q to ask for slug %q, user %q and %s: its owner can add one to spec.grants",
		seen.environmentName.Name, seen.environmentName.Namespace, seen.token.Namespace, spec.Slug, spec.UserID, organization)}
}

func suspended(seen observation) finding {
	if !seen.token.Spec.Suspend || seen.secret.HoldsValidToken(seen.now) {
		return finding{}
	}
	return finding{v1alpha1.SuspendedReason, "spec.suspend is true and the Secret holds no valid token: set it to false to get one"}
}

func secretTaken(seen observation) finding {
	if seen.secret.State != tokensecret.Foreign {
		return finding{}
	}
	return conflict(seen.token)
}

func conflict(token *v1alpha1.PipesToken) finding {
	return finding{v1alpha1.SecretConflictReason, fmt.Sprintf(
		"Secret %q exists and belongs to somebody else, so it is left alone: delete or rename it, or create a PipesToken with another spec.secretName",
		token.TargetSecretName())}
}

func templateBroken(seen observation) finding {
	if seen.templateErr == nil {
		return finding{}
	}
	return finding{v1alpha1.InvalidTemplateReason, printable(fmt.Sprintf("Cannot use the template, fix it: %v", seen.templateErr))}
}

// renewalIsDue is the cause of a fetch for which nothing but time has been the reason.
const renewalIsDue = "renewal is due"

// fetchCause says why to ask WorkOS now, and since when that has been due; empty when there is no cause, or when it is too
// early to try again.
func fetchCause(seen observation) (cause string, due time.Time) {
	switch {
	case seen.token.Spec.Suspend, deleting(seen.token):
		return "", time.Time{}
	case seen.refreshRequested() && (!seen.attempt.requestWaits || !seen.now.Before(seen.notBefore())):
		return "a refresh was requested", time.Time{}
	case seen.now.Before(seen.notBefore()):
		return "", time.Time{}
	case seen.standing.present() && !seen.standing.unwritten():
		return "the last attempt failed", seen.attempt.notBefore
	case seen.doubtful():
		return seen.flaw(), seen.attempt.notBefore
	case seen.flaw() != "":
		return seen.flaw(), time.Time{}
	}
	if due := seen.renewalDue(); !seen.now.Before(due) {
		return renewalIsDue, latest(due, seen.attempt.notBefore)
	}
	return "", time.Time{}
}

// flaw is what is wrong with the Secret that a fetch would mend, without waiting for renewal; empty when nothing is.
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

// notBefore is the earliest time of the next try. What a change may have mended does not wait: the environment's new client, or
// its new requestsPerMinute, an edit of what the API server refused, or a Secret that is no longer somebody else's. Nor does an attempt
// that was held back, once that has ended.
func (seen observation) notBefore() time.Time {
	mended := seen.standing.reason == v1alpha1.EnvironmentNotReadyReason && seen.client != seen.attempt.client ||
		seen.standing.unwritten() && (seen.token.Generation != seen.token.Status.ObservedGeneration || seen.recovered.After(seen.attempt.at)) ||
		seen.attempt.taken && (seen.secret.IsOurs() || seen.secret.State == tokensecret.Orphaned) ||
		seen.attempt.heldAt != 0 && seen.environment != nil && seen.environment.Generation != seen.attempt.heldAt
	if mended || seen.isReleased() {
		return time.Time{}
	}
	return seen.attempt.notBefore
}

// nextDue is when the token in the Secret has to be fetched again.
func (seen observation) nextDue() time.Time {
	token := renewalToken(seen)
	if token.Expires.IsZero() {
		return renewal.NextRefresh(token, latest(seen.attempt.at, token.Obtained), refreshInterval(seen.token))
	}
	return renewal.Time(token, renewBefore(seen.token))
}

// renewalDue is when it has to be asked for again in fact, which may have been in vain already.
func (seen observation) renewalDue() time.Time {
	return latest(seen.nextDue(), seen.attempt.renewNotBefore)
}

// clockWasAhead says whether the Secret was written by a clock that was ahead: when to renew cannot be told from what it says then.
// Clocks of replicas are apart by less than the tolerance, so that one that takes over finds nothing wrong.
func (seen observation) clockWasAhead() bool {
	const tolerance = time.Minute
	return seen.secret.Facts.ObtainedAt.After(seen.now.Add(tolerance))
}

func renewalToken(seen observation) renewal.Token {
	return renewal.Token{
		Obtained: seen.secret.Facts.ObtainedAt, Expires: seen.secret.Facts.ExpiresAt, Seed: string(seen.token.UID),
		Lead: seen.secret.Facts.UpstreamLead,
	}
}

// defaultRefreshInterval is the CRD's default, for objects that were stored before it.
const defaultRefreshInterval = time.Hour

func refreshInterval(token *v1alpha1.PipesToken) time.Duration {
	if token.Spec.RefreshInterval == nil || token.Spec.RefreshInterval.Duration <= 0 {
		return defaultRefreshInterval
	}
	return token.Spec.RefreshInterval.Duration
}

func renewBefore(token *v1alpha1.PipesToken) time.Duration {
	if token.Spec.RenewBefore == nil {
		return 0
	}
	return token.Spec.RenewBefore.Duration
}

// refreshRequest is the value of the annotation that asks for a fetch, cut to what status.lastHandledRefreshRequest holds.
func refreshRequest(token *v1alpha1.PipesToken) string {
	const longest = 256
	value := token.Annotations[v1alpha1.RefreshRequestedAtAnnotation]
	return strings.ToValidUTF8(value[:min(len(value), longest)], "")
}

// refreshRequested says whether a refresh request waits that has not been answered: the status says so, or, until it has been
// written, the memory.
func (seen observation) refreshRequested() bool {
	request := refreshRequest(seen.token)
	return request != "" && request != seen.token.Status.LastHandledRefreshRequest && request != seen.attempt.request
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
