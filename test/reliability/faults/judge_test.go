//go:build reliability

package faults_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// The judges are pure: what was stored and what WorkOS has seen in, and what is wrong with it out.

// holding is a token that stood in a Secret, from one version on until another.
type holding struct {
	secret   string // namespace/name
	owner    types.UID
	id       workossim.ID
	revision int64
	serial   int
	obtained time.Time
	// expires is what the Secret says; zero: never.
	expires time.Time
	from    time.Time
	// until is when it was replaced, taken away, or last seen.
	until time.Time
}

// holdings are all tokens that the operator has put into Secrets, in the order of their writes, with what is wrong with them: each has
// to be one that WorkOS has handed out, to exactly the one whom the PipesToken names, and to be beside its own expiry.
func holdings(versions []version, calls []workossim.Request, end time.Time) (held []*holding, wrong []string) {
	owners, issued := ownersOf(versions), issuedIn(calls)
	current := map[string]*holding{}
	for _, v := range versions {
		if v.kind != secretKind {
			continue
		}
		h, problem := holdingOf(v, owners, issued)
		if problem != "" {
			wrong = append(wrong, fmt.Sprintf("Secret %s at revision %d: %s", v.name, v.revision, problem))
		}
		before := current[v.name]
		if before != nil && h != nil && before.serial == h.serial && before.owner == h.owner && before.expires.Equal(h.expires) && before.obtained.Equal(h.obtained) {
			continue // the same token goes on
		}
		if before != nil {
			before.until = v.at
		}
		delete(current, v.name)
		if h != nil {
			current[v.name] = h
			held = append(held, h)
		}
	}
	for _, h := range current {
		h.until = end
	}
	return held, wrong
}

// ownersOf are whom PipesTokens ask for, by their UID.
func ownersOf(versions []version) map[types.UID]workossim.ID {
	owners := map[types.UID]workossim.ID{}
	for _, v := range versions {
		if v.token != nil {
			owners[v.token.UID] = idOf(v.token)
		}
	}
	return owners
}

// token is one that WorkOS has handed out.
type token struct {
	id     workossim.ID
	serial int
}

// issuedIn are all tokens that calls have got, with their expiry.
func issuedIn(calls []workossim.Request) map[token]time.Time {
	issued := map[token]time.Time{}
	for _, c := range calls {
		if c.TokenSerial > 0 {
			issued[token{c.ID, c.TokenSerial}] = c.TokenExpiresAt
		}
	}
	return issued
}

// holdingOf is the token in a Secret, as far as the operator has put it there; nil when there is none.
func holdingOf(v version, owners map[types.UID]workossim.ID, issued map[token]time.Time) (h *holding, wrong string) {
	if v.secret == nil {
		return nil, ""
	}
	text := ownText(v.secret)
	if !tokenPattern.MatchString(text) {
		return nil, ""
	}
	owner := metav1.GetControllerOf(v.secret)
	if owner == nil {
		return nil, ""
	}
	id, known := owners[owner.UID]
	serial := serialOf(id, text)
	expires, handedOut := issued[token{id, serial}]
	switch {
	case !known:
		return nil, "its owner has never existed"
	case serial < 0:
		return nil, "it holds a token of somebody else's"
	case !handedOut:
		return nil, fmt.Sprintf("it holds token %d, which WorkOS has not handed out", serial)
	case expiryOf(v.secret) != expiryText(expires):
		return nil, fmt.Sprintf("token %d expires at %s, and beside it is %s", serial, expiryText(expires), expiryOf(v.secret))
	}
	obtained, err := time.Parse(time.RFC3339, v.secret.Annotations[tokensecret.ObtainedAtAnnotation])
	if err != nil {
		return nil, "it does not say when its token was obtained"
	}
	return &holding{secret: v.name, owner: owner.UID, id: id, revision: v.revision, serial: serial,
		obtained: obtained, expires: expires, from: v.at}, ""
}

// ownText is the part of the data that the operator has written, and nobody has changed since.
func ownText(secret *corev1.Secret) string {
	var text strings.Builder
	for _, entry := range secret.ManagedFields {
		if entry.Manager != tokensecret.FieldManager || entry.FieldsV1 == nil {
			continue
		}
		fields := string(entry.FieldsV1.GetRawBytes())
		for key, value := range secret.Data {
			if strings.Contains(fields, fmt.Sprintf("%q", "f:"+key)) {
				text.Write(value)
				text.WriteByte('\n')
			}
		}
	}
	return text.String()
}

// expiryText is how the expiry of a token stands beside it.
func expiryText(expires time.Time) string {
	if expires.IsZero() {
		return "never"
	}
	return expires.UTC().Format("2006-01-02T15:04:05.999Z07:00")
}

// formatExpiry is how it stands in a status.
func formatExpiry(expires time.Time) string {
	if expires.IsZero() {
		return "never"
	}
	return expires.UTC().Truncate(time.Second).Format(time.RFC3339)
}

// replacedByOlder are the writes that have put an older token in the place of a newer one.
func replacedByOlder(held []*holding) (wrong []string) {
	type owned struct {
		secret string
		owner  types.UID
	}
	newest := map[owned]int{}
	for _, h := range held {
		key := owned{h.secret, h.owner}
		if h.serial < newest[key] {
			wrong = append(wrong, fmt.Sprintf("Secret %s at revision %d: token %d comes after token %d", h.secret, h.revision, h.serial, newest[key]))
		}
		newest[key] = max(newest[key], h.serial)
	}
	return wrong
}

// touched are the strangers' Secrets that the operator has written, or that are not there any more.
func touched(versions []version, strange []string) (wrong []string) {
	for _, v := range versions {
		if v.kind != secretKind || !slices.Contains(strange, v.name) {
			continue
		}
		switch {
		case v.secret == nil:
			wrong = append(wrong, "Secret "+v.name+" is gone")
		case slices.ContainsFunc(v.secret.ManagedFields, func(e metav1.ManagedFieldsEntry) bool { return e.Manager == tokensecret.FieldManager }):
			wrong = append(wrong, "Secret "+v.name+" was written by the operator")
		case string(v.secret.Data[strangeKey]) != strangersValue:
			wrong = append(wrong, "Secret "+v.name+" has other data")
		}
	}
	return wrong
}

// longestPass bounds a pass: the operator gives up after a minute, and a request that it has made may still be on its way.
const longestPass = 75 * time.Second

// unfounded are the statuses that claim what is not so: each that says that a valid token is in the Secret has to speak of one that
// stood there when the status was written, or a pass before, and that had not expired when the pass began.
func unfounded(versions []version, held []*holding) (wrong []string) {
	byOwner := map[types.UID][]*holding{}
	for _, h := range held {
		byOwner[h.owner] = append(byOwner[h.owner], h)
	}
	claimed := map[types.UID]string{}
	for _, v := range versions {
		if v.token == nil || readyOf(v.token).Status != metav1.ConditionTrue {
			continue
		}
		claim := claimOf(v.token)
		if claimed[v.token.UID] == claim {
			continue // written for another reason
		}
		claimed[v.token.UID] = claim
		founded := slices.ContainsFunc(byOwner[v.token.UID], func(h *holding) bool {
			return h.revision < v.revision && !h.until.Before(v.at.Add(-longestPass)) &&
				claim == formatExpiry(h.expires)+" "+formatExpiry(h.obtained) &&
				(h.expires.IsZero() || h.expires.After(v.at.Add(-longestPass)))
		})
		if !founded {
			wrong = append(wrong, fmt.Sprintf("PipesToken %s at revision %d is Ready with a token that was not in its Secret: %s", v.name, v.revision, claim))
		}
	}
	return wrong
}

func claimOf(token *v1alpha1.PipesToken) string {
	expires, obtained := "never", ""
	if token.Status.ExpirationTime != nil {
		expires = formatExpiry(token.Status.ExpirationTime.Time)
	}
	if token.Status.LastRefreshTime != nil {
		obtained = formatExpiry(token.Status.LastRefreshTime.Time)
	}
	return expires + " " + obtained
}
