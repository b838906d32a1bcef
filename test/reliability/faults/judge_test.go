//go:build reliability

package faults_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness"
	"github.com/pipes-operator/pipes-operator/test/harness/canary"
)

// The judges are pure functions. Their input is the stored versions and the calls that WorkOS has
// received. Their output is the violations.

// holding is a token in a Secret, from one version of the Secret to another.
type holding struct {
	secret   string // namespace/name
	owner    types.UID
	id       workossim.ID
	revision int64
	serial   int
	obtained time.Time
	// expires is the expiry in the annotation of the Secret; zero: never.
	expires time.Time
	from    time.Time
	// until is when the token was replaced, removed, or seen for the last time.
	until time.Time
}

// holdings returns all tokens that the operator has put into Secrets, in the order of the writes,
// and the violations: WorkOS must have returned the token for exactly the slug, user and
// organization of the PipesToken, and the Secret must show the expiry of this token.
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
			continue // the same token is still there
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

// ownersOf returns the connections that PipesTokens ask for, by the UID of the PipesToken.
func ownersOf(versions []version) map[types.UID]workossim.ID {
	owners := map[types.UID]workossim.ID{}
	for _, v := range versions {
		if v.token != nil {
			owners[v.token.UID] = harness.IDOf(v.token)
		}
	}
	return owners
}

// token identifies a token that WorkOS has returned.
type token struct {
	id     workossim.ID
	serial int
}

// issuedIn returns all tokens that WorkOS has returned, with their expiry.
func issuedIn(calls []workossim.Request) map[token]time.Time {
	issued := map[token]time.Time{}
	for _, c := range calls {
		if c.TokenSerial > 0 {
			issued[token{c.ID, c.TokenSerial}] = c.TokenExpiresAt
		}
	}
	return issued
}

// holdingOf returns the token in a Secret; nil if the Secret holds no token that the operator has
// written.
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

// ownText returns the data that the operator has written and that no other field manager has
// changed since.
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

// expiryText is the format of the expiry annotation of a Secret.
func expiryText(expires time.Time) string {
	if expires.IsZero() {
		return "never"
	}
	return expires.UTC().Format("2006-01-02T15:04:05.999Z07:00")
}

// formatExpiry is the format of times in a status.
func formatExpiry(expires time.Time) string {
	if expires.IsZero() {
		return "never"
	}
	return expires.UTC().Truncate(time.Second).Format(time.RFC3339)
}

// replacedByOlder returns the writes that replaced a newer token with an older one.
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

// touched returns the Secrets of strangers that the operator has written, or that have been
// changed or deleted.
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

// longestPass bounds a reconcile: it is cancelled after a minute, and a request that it has made
// may still be on its way after that.
const longestPass = 75 * time.Second

// unfounded returns the false statuses. A status that claims a valid token in the Secret must
// describe a token that was in the Secret at most longestPass before the status was written, and
// that had not expired before that time.
func unfounded(versions []version, held []*holding) (wrong []string) {
	byOwner := map[types.UID][]*holding{}
	for _, h := range held {
		byOwner[h.owner] = append(byOwner[h.owner], h)
	}
	claimed := map[types.UID]string{}
	for _, v := range versions {
		if v.token == nil || harness.ReadyOf(v.token).Status != metav1.ConditionTrue {
			continue
		}
		claim := claimOf(v.token)
		if claimed[v.token.UID] == claim {
			continue // written for another reason, such as another condition
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

// alarms are texts that must not be in the log of a program that was built with the race
// detector.
var alarms = []string{"DATA RACE", "panic:", "Observed a panic", "fatal error:"}

// judgeLog reads a log, and returns the lines that must not be in it.
func judgeLog(file string) (leaked, alarming []string, err error) {
	log, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = log.Close() }()
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadString('\n')
		if canary.Find(line) != "" {
			leaked = append(leaked, line)
		}
		for _, alarm := range alarms {
			if strings.Contains(line, alarm) {
				alarming = append(alarming, line)
			}
		}
		if errors.Is(err, io.EOF) {
			return leaked, alarming, nil
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

// leaksStored returns the objects that contain a canary anywhere except in the data of a Secret.
func leaksStored(versions []version) (leaked []string) {
	for _, v := range versions {
		var public any
		switch {
		case v.secret != nil:
			public = v.secret.ObjectMeta
		case v.token != nil:
			public = v.token
		case v.environment != nil:
			public = v.environment
		case v.event != nil:
			public = v.event
		}
		text, err := json.Marshal(public)
		if err != nil || canary.Find(string(text)) != "" {
			leaked = append(leaked, fmt.Sprintf("%s %s at revision %d", v.kind, v.name, v.revision))
		}
	}
	return leaked
}

// aTokenOfNobody is a token for the tests of the judges.
var aTokenOfNobody = workossim.TokenValue(workossim.Connection{ID: workossim.ID{Slug: "github", UserID: "nobody"}}, 1)
