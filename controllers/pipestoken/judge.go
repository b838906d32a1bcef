package pipestoken

import (
	"fmt"
	"time"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// verdict is the consequence of a WorkOS answer for the Secret.
type verdict struct {
	// write: the Secret must be written with content.
	write   bool
	content tokensecret.Content
	finding finding.Finding
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

func judgeToken(seen observation, token workos.Token) verdict {
	facts := tokensecret.Facts{
		TemplateHash:  seen.template.Hash(),
		TokenHash:     tokensecret.HashToken(string(seen.token.UID), token.Value),
		ObtainedAt:    conditions.Stored(seen.now),
		ExpiresAt:     token.ExpiresAt,
		Scopes:        token.Scopes,
		MissingScopes: token.MissingScopes,

		PropertiesHash: tokensecret.HashProperties(string(seen.token.UID), token.Metadata, token.Config),
	}
	if lead, known := seen.last.lead.Lead(); known {
		facts.UpstreamLead = &lead
	}
	sameToken := seen.secret.State == tokensecret.Intact && facts.SameToken(seen.secret.Facts)
	if late := tooLate(facts.ExpiresAt, seen.now, sameToken); late.Present() {
		return verdict{finding: late}
	}
	if sameToken && !seen.clockWasAhead() {
		if facts.TemplateHash == seen.secret.Facts.TemplateHash {
			return verdict{}
		}
		facts.ObtainedAt = seen.secret.Facts.ObtainedAt
	}
	data, err := seen.template.Render(tokensecret.Values{
		Token: token.Value, ExpiresAt: facts.ExpiresAt, Scopes: token.Scopes,
		Slug: seen.token.Spec.Slug, UserID: seen.token.Spec.UserID, OrganizationID: seen.token.Spec.OrganizationID,
		Metadata: token.Metadata, Config: token.Config,
	})
	if err != nil {
		return verdict{finding: finding.New(v1alpha1.SecretRejectedReason,
			conditions.Printable(fmt.Sprintf("Cannot render the Secret: %v", err)))}
	}
	return verdict{write: true, content: tokensecret.Content{Facts: facts, Data: data}}
}

// tooLate returns a finding if a token that has just arrived is of no use: it has expired, or it
// expires before a pod could use it. The token that the Secret holds already may be used to its end.
func tooLate(expires, now time.Time, sameToken bool) finding.Finding {
	switch {
	case expires.IsZero():
		return finding.Finding{}
	case !expires.After(now):
		return finding.New(v1alpha1.TokenExpiredReason,
			"WorkOS returns a token that has expired: it may be about to refresh it; "+
				"if this lasts, compare the clocks and have the user connect again")
	case !sameToken && renewal.Useless(expires, now):
		return finding.Newf(v1alpha1.TokenExpiredReason,
			"WorkOS returns a token that expires in less than %s, before a pod could use it: "+
				"if this lasts, check the lifetime of this integration's tokens, and compare the clocks",
			renewal.ShortestLife)
	default:
		return finding.Finding{}
	}
}

// explanations contains, for each outcome without a token, the reason and the message for the
// user. failure adds WorkOS's own message, except where the message here is complete.
var explanations = map[workos.Outcome]finding.Finding{
	workos.OutcomeNotInstalled: finding.New(v1alpha1.NotInstalledReason,
		"The user has not connected this integration: it works once they have connected it"),
	workos.OutcomeNeedsReauthorization: finding.New(v1alpha1.NeedsReauthorizationReason,
		"The user has to connect this integration again: it works once they have"),
	workos.OutcomeInactive: finding.New(v1alpha1.InactiveReason,
		"WorkOS says that the connection is not active"),
	workos.OutcomeKeyRejected: finding.New(v1alpha1.EnvironmentNotReadyReason,
		"WorkOS refuses the API key of the PipesEnvironment: put a valid one into its Secret"),
	workos.OutcomeNotFound: finding.New(v1alpha1.IntegrationNotFoundReason,
		"WorkOS knows no such slug, user, organization or connected account: "+
			"compare them with the WorkOS dashboard, and create a PipesToken with the right ones"),
	workos.OutcomeAccountSelectionRequired: finding.New(v1alpha1.AccountSelectionRequiredReason,
		"Several connections match: create a PipesToken whose spec.connectedAccountID names one of them"),
	workos.OutcomeAuthMethodMismatch: finding.New(v1alpha1.AuthMethodMismatchReason,
		"The connected account uses another method than spec.authMethod: create a PipesToken with the method of the account"),
	workos.OutcomeBusy: finding.New(v1alpha1.UpstreamUnavailableReason,
		"WorkOS cannot return the token now, because another request changes this connection; "+
			"the operator asks again by itself"),
	workos.OutcomeForbidden: finding.New(v1alpha1.RequestRejectedReason,
		"WorkOS does not allow the request: check that the API key may use Pipes and, for a connection of an "+
			"organization, that the user is an active member of the organization"),
	workos.OutcomeRejected: finding.New(v1alpha1.RequestRejectedReason,
		"WorkOS refuses the request"),
	workos.OutcomeRateLimited: finding.New(v1alpha1.RateLimitedReason,
		"WorkOS limits the rate of this API key; the operator tries again by itself"),
	workos.OutcomeUnavailable: finding.New(v1alpha1.UpstreamUnavailableReason,
		"WorkOS cannot be reached or fails; the operator tries again by itself"),
	workos.OutcomeUnreadable: finding.New(v1alpha1.UpstreamUnavailableReason,
		"WorkOS gave an answer that cannot be read; the operator tries again by itself"),
}

// failure turns an answer without a token into a finding. If the finding only repeats the standing
// one, the standing one stays. The log contains every request ID.
func failure(seen observation, answer workos.Answer) finding.Finding {
	found, ok := explanations[answer.Outcome]
	if !ok {
		found = finding.New(v1alpha1.UpstreamUnavailableReason, "WorkOS gave an answer that this version does not know")
	}
	found.RequestID = answer.RequestID
	if !answer.Until.IsZero() {
		found.NotBefore = conditions.Stored(answer.Until)
	}
	if answer.Outcome != workos.OutcomeNotInstalled && answer.Outcome != workos.OutcomeNeedsReauthorization {
		found.Quote = conditions.Printable(answer.Message)
	}
	if found.Repeats(seen.standing, !answer.Sent) {
		return seen.standing
	}
	return found
}
