package controllers

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// verdict is the consequence of a WorkOS answer for the Secret.
type verdict struct {
	// write: the Secret must be written with content.
	write   bool
	content tokensecret.Content
	finding finding
}

// judge interprets an answer. An answer without a token never changes a Secret, except for an
// authoritative "not active": then inactivePolicy applies.
func judge(seen observation, answer workos.Answer) verdict {
	switch {
	case answer.Outcome == workos.OutcomeToken:
		return judgeToken(seen, answer.Token)
	case heldBack(seen, answer):
		return verdict{finding: seen.standing}
	default:
		return verdict{finding: failure(seen, answer)}
	}
}

// heldBack reports whether nothing was sent, so that the PipesToken reports nothing. Either the
// call has to wait for its turn, or WorkOS is known to be down or to limit the rate while the
// Secret still holds a valid token. In the second case the PipesEnvironment reports the problem
// once, instead of each PipesToken.
func heldBack(seen observation, answer workos.Answer) bool {
	switch answer.Outcome {
	case workos.OutcomeHeld:
		return true
	case workos.OutcomeRateLimited, workos.OutcomeUnavailable, workos.OutcomeUnreadable:
		return !answer.Sent && seen.secret.HoldsValidToken(seen.now)
	default:
		return false
	}
}

func judgeToken(seen observation, token workos.Token) verdict {
	facts := tokensecret.Facts{
		TemplateHash:  seen.template.Hash(),
		TokenHash:     tokensecret.HashToken(string(seen.token.UID), token.Value),
		ObtainedAt:    inSeconds(seen.now),
		ExpiresAt:     token.ExpiresAt,
		Scopes:        token.Scopes,
		MissingScopes: token.MissingScopes,
	}
	if lead, known := seen.attempt.habit.Lead(); known {
		facts.UpstreamLead = &lead
	}
	sameToken := seen.secret.State == tokensecret.Intact && facts.SameToken(seen.secret.Facts)
	if late := tooLate(facts.ExpiresAt, seen.now, sameToken); late.present() {
		return verdict{finding: late}
	}
	if sameToken && !seen.clockWasAhead() {
		if facts.TemplateHash == seen.secret.Facts.TemplateHash {
			return verdict{}
		}
		facts.ObtainedAt = seen.secret.Facts.ObtainedAt
	}
	data, err := seen.template.Render(tokensecret.Values{
		AccessToken: token.Value, ExpiresAt: facts.ExpiresAt, Scopes: token.Scopes,
		Slug: seen.token.Spec.Slug, UserID: seen.token.Spec.UserID, OrganizationID: seen.token.Spec.OrganizationID,
	})
	if err != nil {
		return verdict{finding: finding{v1alpha1.SecretRejectedReason,
			printable(fmt.Sprintf("Cannot render the Secret: %v", err))}}
	}
	return verdict{write: true, content: tokensecret.Content{Facts: facts, Data: data}}
}

// tooLate returns a finding if a token that has just arrived is of no use: it has expired, or it
// expires before a pod could use it. The token that the Secret holds already may be used to its end.
func tooLate(expires, now time.Time, sameToken bool) finding {
	switch {
	case expires.IsZero():
		return finding{}
	case !expires.After(now):
		return finding{v1alpha1.TokenExpiredReason,
			"WorkOS returns a token that has expired: it may be about to refresh it; " +
				"if this lasts, compare the clocks and have the user connect again"}
	case !sameToken && renewal.Useless(expires, now):
		return finding{v1alpha1.TokenExpiredReason, fmt.Sprintf(
			"WorkOS returns a token that expires in less than %s, before a pod could use it: "+
				"if this lasts, check the lifetime of this integration's tokens, and compare the clocks",
			renewal.ShortestLife)}
	default:
		return finding{}
	}
}

// explanations contains, for each outcome without a token, the reason and the message for the
// user. failure adds WorkOS's own message, except where the message here is complete.
var explanations = map[workos.Outcome]finding{
	workos.OutcomeNotInstalled: {v1alpha1.NotInstalledReason,
		"The user has not connected this integration: it works once they have connected it"},
	workos.OutcomeNeedsReauthorization: {v1alpha1.NeedsReauthorizationReason,
		"The user has to connect this integration again: it works once they have"},
	workos.OutcomeInactive: {v1alpha1.InactiveReason,
		"WorkOS says that the connection is not active"},
	workos.OutcomeKeyRejected: {v1alpha1.EnvironmentNotReadyReason,
		"WorkOS refuses the API key of the PipesEnvironment: put a valid one into its Secret"},
	workos.OutcomeNotFound: {v1alpha1.IntegrationNotFoundReason,
		"WorkOS knows no such slug, user or organization: " +
			"compare them with the WorkOS dashboard, and create a PipesToken with the right ones"},
	workos.OutcomeAccountSelectionRequired: {v1alpha1.AccountSelectionRequiredReason,
		"Several connections of the user match: leave one of them connected"},
	workos.OutcomeAuthMethodMismatch: {v1alpha1.AuthMethodMismatchReason,
		"The connected account does not use OAuth, so it has no access token: have the user connect with OAuth"},
	workos.OutcomeBusy: {v1alpha1.UpstreamUnavailableReason,
		"WorkOS cannot return the token now, because another request changes this connection; " +
			"the operator asks again by itself"},
	workos.OutcomeRejected: {v1alpha1.RequestRejectedReason,
		"WorkOS refuses the request"},
	workos.OutcomeRateLimited: {v1alpha1.RateLimitedReason,
		"WorkOS limits the rate of this API key; the operator tries again by itself"},
	workos.OutcomeUnavailable: {v1alpha1.UpstreamUnavailableReason,
		"WorkOS cannot be reached or fails; the operator tries again by itself"},
	workos.OutcomeUnreadable: {v1alpha1.UpstreamUnavailableReason,
		"WorkOS gave an answer that cannot be read; the operator tries again by itself"},
}

// failure turns an answer without a token into a finding. While the problem stays the same, the
// message stays the same. Otherwise a request ID that changes with each attempt would cause a
// write of the status each time. The log contains every request ID.
func failure(seen observation, answer workos.Answer) finding {
	found, ok := explanations[answer.Outcome]
	if !ok {
		found = finding{v1alpha1.UpstreamUnavailableReason, "WorkOS gave an answer that this version does not know"}
	}
	found.message += patienceNote(answer.Until)
	if answer.Message != "" && answer.Outcome != workos.OutcomeNotInstalled &&
		answer.Outcome != workos.OutcomeNeedsReauthorization {
		found.message += ": " + printable(answer.Message)
	}
	before, _, _ := strings.Cut(seen.standing.message, requestIDMark)
	repeats := !answer.Sent && patienceIn(before) == patienceNote(answer.Until)
	if seen.standing.reason == found.reason && (repeats || before == found.message) {
		return seen.standing
	}
	if answer.RequestID != "" {
		found.message += requestIDMark + answer.RequestID + ")"
	}
	return found
}

// requestIDMark precedes the request ID, which the support of WorkOS asks for.
const requestIDMark = " (request ID "

// printable shortens a foreign text for a condition: at most 256 printable characters on one
// line.
func printable(text string) string {
	const longest = 256
	text = strings.Join(strings.FieldsFunc(text, unicode.IsSpace), " ")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest-1]) + "…"
	}
	return text
}
