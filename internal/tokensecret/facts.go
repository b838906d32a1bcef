package tokensecret

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// Annotations of the Secret, written in the same write as the token that they describe.
const (
	// ExpiresAtAnnotation is RFC 3339 in UTC, with the fraction of a second that WorkOS sent.
	// It is "never" for a token without a known expiry.
	ExpiresAtAnnotation = "pipes.workos.com/expires-at"
	// ObtainedAtAnnotation is when the operator first got the token, as RFC 3339 in UTC.
	ObtainedAtAnnotation = "pipes.workos.com/obtained-at"
	// TemplateHashAnnotation identifies the template that the data was rendered with.
	TemplateHashAnnotation = "pipes.workos.com/template-hash"
	// TokenHashAnnotation identifies a token without revealing it: a truncated SHA-256 that is
	// salted with the UID of the PipesToken.
	TokenHashAnnotation = "pipes.workos.com/token-hash"
	// ScopesAnnotation is a JSON list of the token's scopes.
	ScopesAnnotation = "pipes.workos.com/scopes"
	// MissingScopesAnnotation is a JSON list of the scopes that the user has not granted.
	MissingScopesAnnotation = "pipes.workos.com/missing-scopes"
	// UpstreamLeadAnnotation is the lead that was known when WorkOS returned this token: how
	// long before expiry WorkOS returns the next token. It is a Go duration or "unknown".
	UpstreamLeadAnnotation = "pipes.workos.com/upstream-lead"
	// PropertiesHashAnnotation identifies the metadata and the config of a credential, as
	// TokenHashAnnotation identifies a token. It is absent if WorkOS returned neither.
	PropertiesHashAnnotation = "pipes.workos.com/properties-hash"
)

const (
	never   = "never"
	unknown = "unknown"
)

// factAnnotations are on a Secret if, and only if, it holds a token. All of them are always
// present, so that the removal of one is detected.
var factAnnotations = []string{
	ExpiresAtAnnotation, ObtainedAtAnnotation, TemplateHashAnnotation, TokenHashAnnotation,
	ScopesAnnotation, MissingScopesAnnotation,
}

// adviceAnnotations may be missing, for example on a Secret that an earlier version wrote. The
// token is valid without them.
var adviceAnnotations = []string{UpstreamLeadAnnotation, PropertiesHashAnnotation}

// Annotations returns the annotations that the operator sets on a Secret.
func Annotations() []string { return slices.Concat(factAnnotations, adviceAnnotations) }

// Facts describe the token in the data of a Secret. They come from the metadata of the Secret.
// Times are in UTC.
type Facts struct {
	// ExpiresAt is zero if the token has no known expiry. It keeps the fraction of a second,
	// because WorkOS may have no other token until that exact moment.
	ExpiresAt time.Time
	// ObtainedAt is in whole seconds.
	ObtainedAt    time.Time
	TemplateHash  string
	TokenHash     string
	Scopes        []string
	MissingScopes []string
	// PropertiesHash is empty if the token has neither metadata nor config.
	PropertiesHash string
	// UpstreamLead is how long before expiry WorkOS was known to return the next token when it
	// returned this one. Nil means that this was not known.
	UpstreamLead *time.Duration
}

// HashToken returns the digest of a token for Facts, salted with the UID of the PipesToken.
func HashToken(uid string, token redact.String) string {
	return hashOf(uid, token.Reveal())
}

// HashProperties returns the digest of the metadata and the config of a credential for Facts,
// salted with the UID of the PipesToken. It is empty if there are none.
func HashProperties(uid string, metadata, config redact.String) string {
	if metadata.Reveal() == "" && config.Reveal() == "" {
		return ""
	}
	return hashOf(uid, metadata.Reveal(), config.Reveal())
}

// SameToken reports whether both describe the same token: the same text, expiry, scopes, metadata
// and config. The order of the scopes does not matter.
func (f Facts) SameToken(other Facts) bool {
	return f.TokenHash == other.TokenHash && f.PropertiesHash == other.PropertiesHash &&
		f.ExpiresAt.Equal(other.ExpiresAt) &&
		sameMembers(f.Scopes, other.Scopes) && sameMembers(f.MissingScopes, other.MissingScopes)
}

func sameMembers(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// annotations returns the facts as annotations of the Secret.
func (f Facts) annotations() map[string]string {
	annotations := map[string]string{
		ExpiresAtAnnotation:     never,
		ObtainedAtAnnotation:    formatTime(f.ObtainedAt),
		TemplateHashAnnotation:  f.TemplateHash,
		TokenHashAnnotation:     f.TokenHash,
		ScopesAnnotation:        formatList(f.Scopes),
		MissingScopesAnnotation: formatList(f.MissingScopes),
		UpstreamLeadAnnotation:  unknown,
	}
	if !f.ExpiresAt.IsZero() {
		annotations[ExpiresAtAnnotation] = f.ExpiresAt.UTC().Format(time.RFC3339Nano)
	}
	if f.PropertiesHash != "" {
		annotations[PropertiesHashAnnotation] = f.PropertiesHash
	}
	if f.UpstreamLead != nil {
		annotations[UpstreamLeadAnnotation] = f.UpstreamLead.String()
	}
	return annotations
}

// parseFacts is the inverse of annotations. A Secret that holds no token has no facts, which is
// not an error.
func parseFacts(annotations map[string]string) (facts Facts, holds bool, err error) {
	if !slices.ContainsFunc(factAnnotations, func(key string) bool { _, ok := annotations[key]; return ok }) {
		return Facts{}, false, nil
	}
	facts = Facts{
		TemplateHash: annotations[TemplateHashAnnotation], TokenHash: annotations[TokenHashAnnotation],
		PropertiesHash: annotations[PropertiesHashAnnotation],
	}
	if facts.TemplateHash == "" || facts.TokenHash == "" {
		return Facts{}, true, fmt.Errorf("annotation %s or %s is missing", TemplateHashAnnotation, TokenHashAnnotation)
	}
	if annotations[ExpiresAtAnnotation] != never {
		if facts.ExpiresAt, err = parseTime(annotations, ExpiresAtAnnotation); err != nil {
			return Facts{}, true, err
		}
	}
	if facts.ObtainedAt, err = parseTime(annotations, ObtainedAtAnnotation); err != nil {
		return Facts{}, true, err
	}
	facts.ObtainedAt = facts.ObtainedAt.Truncate(time.Second)
	if text := annotations[UpstreamLeadAnnotation]; text != unknown && text != "" {
		lead, err := time.ParseDuration(text)
		if err != nil || lead < 0 {
			return Facts{}, true, fmt.Errorf("annotation %s is not a duration", UpstreamLeadAnnotation)
		}
		facts.UpstreamLead = &lead
	}
	if facts.Scopes, err = parseList(annotations, ScopesAnnotation); err != nil {
		return Facts{}, true, err
	}
	if facts.MissingScopes, err = parseList(annotations, MissingScopesAnnotation); err != nil {
		return Facts{}, true, err
	}
	return facts, true, nil
}

func parseTime(annotations map[string]string, key string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, annotations[key])
	if err != nil {
		return time.Time{}, fmt.Errorf("annotation %s is not a time", key)
	}
	t = t.UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("annotation %s is a time that cannot be written in UTC", key)
	}
	return t, nil
}

// parseList returns nil for a list without items.
func parseList(annotations map[string]string, key string) ([]string, error) {
	var list []string
	if err := json.Unmarshal([]byte(annotations[key]), &list); err != nil {
		return nil, fmt.Errorf("annotation %s is not a list", key)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list, nil
}

func formatList(list []string) string {
	// The append turns nil into [] instead of null. Marshalling strings cannot fail.
	text, _ := json.Marshal(append([]string{}, list...))
	return string(text)
}

// formatTime returns the form of a time in the data of the Secret: RFC 3339 in UTC, in whole
// seconds.
func formatTime(t time.Time) string {
	return t.UTC().Truncate(time.Second).Format(time.RFC3339)
}
