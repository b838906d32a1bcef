package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// sample is a PipesToken of the samples. Its file and its Secret have the same name.
type sample struct {
	name string
	id   workossim.ID
}

var (
	githubAlice = sample{"github-alice", workossim.ID{Slug: "github", UserID: "user_01ALICE"}}
	slackAlice  = sample{"slack-alice", workossim.ID{Slug: "slack", UserID: "user_01ALICE"}}
	notionBob   = sample{"notion-bob", workossim.ID{Slug: "notion", UserID: "user_01BOB"}}
	linearCarol = sample{"linear-carol", workossim.ID{Slug: "linear", UserID: "user_01CAROL"}}
)

// synced checks that Ready is True.
func (s sample) synced() check { return s.is(metav1.ConditionTrue, v1alpha1.TokenSyncedReason) }

// stuck checks that Ready is False with the given reason.
func (s sample) stuck(reason string) check { return s.is(metav1.ConditionFalse, reason) }

func (s sample) is(status metav1.ConditionStatus, reason string) check {
	return check{
		what: fmt.Sprintf("PipesToken %s has Ready=%s, %s", s.name, status, reason),
		met: func(_, now *snapshot) (string, bool) {
			ready := now.ready(s.name)
			switch is := ready.Status == status && ready.Reason == reason; {
			case is && status == metav1.ConditionTrue:
				return "", true
			case is:
				return ready.Message, true
			default:
				return fmt.Sprintf("Ready=%s, %s: %s", ready.Status, ready.Reason, ready.Message), false
			}
		},
	}
}

// holdsNewest checks that the Secret holds the latest token of WorkOS. It compares the expiry
// times.
func (s sample) holdsNewest() check {
	return check{
		what: fmt.Sprintf("Secret %s holds the newest token", s.name),
		met: func(_, now *snapshot) (string, bool) {
			secret, upstream := now.secrets[s.name], now.connection(s.id)
			if secret == nil || now.fingerprint(s.name) == "" {
				return "no token in it", false
			}
			expires := string(secret.Data["expires_at"])
			newest := upstream.ExpiresAt.UTC().Truncate(time.Second).Format(time.RFC3339)
			return fmt.Sprintf("number %d, fingerprint %s, valid until %s",
				upstream.TokenSerial, now.fingerprint(s.name), expires), expires == newest
		},
	}
}

// hasKeys checks that the Secret has exactly these keys.
func (s sample) hasKeys(want ...string) check {
	return check{
		what: fmt.Sprintf("Secret %s has the keys %s", s.name, strings.Join(want, ", ")),
		met: func(_, now *snapshot) (string, bool) {
			keys := now.keys(s.name)
			if slices.Equal(keys, want) {
				return "", true
			}
			return fmt.Sprintf("keys %q", keys), false
		},
	}
}

// cleared checks that the Secret exists and has no data.
func (s sample) cleared() check {
	return check{
		what: fmt.Sprintf("Secret %s is still there, and empty", s.name),
		met: func(_, now *snapshot) (string, bool) {
			if now.secrets[s.name] == nil {
				return "no Secret", false
			}
			keys := now.keys(s.name)
			if len(keys) == 0 {
				return "", true
			}
			return fmt.Sprintf("keys %q", keys), false
		},
	}
}

// noSecret checks that the Secret does not exist.
func (s sample) noSecret() check {
	return check{
		what: fmt.Sprintf("there is no Secret %s", s.name),
		met: func(_, now *snapshot) (string, bool) {
			if now.secrets[s.name] == nil {
				return "", true
			}
			return "there is one", false
		},
	}
}

// calls checks the exact number of requests to WorkOS for this connection during the phase.
func (s sample) calls(want int) check {
	what := "WorkOS was not asked for " + s.name
	if want > 0 {
		what = fmt.Sprintf("WorkOS was asked for %s %s", s.name, times(want))
	}
	return check{what: what, met: func(before, now *snapshot) (string, bool) {
		got := len(s.newCalls(before, now))
		if got == want {
			return "", true
		}
		return "asked " + times(got), false
	}}
}

// rotated checks that at least this many new tokens arrived during the phase, each with exactly
// one request.
func (s sample) rotated(atLeast int) check {
	return check{
		what: fmt.Sprintf("%s has rotated %s, at one call to WorkOS each", s.name, times(atLeast)),
		met: func(before, now *snapshot) (string, bool) {
			old, fresh := map[int]bool{0: true}, map[int]bool{} // 0: the response had no token
			for _, request := range before.calls(s.id) {
				old[request.TokenSerial] = true
			}
			calls := s.newCalls(before, now)
			for _, request := range calls {
				if !old[request.TokenSerial] {
					fresh[request.TokenSerial] = true
				}
			}
			return fmt.Sprintf("%d new tokens, %d calls", len(fresh), len(calls)),
				len(fresh) >= atLeast && len(calls) == len(fresh)
		},
	}
}

// newCalls returns the requests for this connection during the phase.
func (s sample) newCalls(before, now *snapshot) []workossim.Request {
	calls := now.calls(s.id)
	return calls[min(len(before.calls(s.id)), len(calls)):]
}

// livesLong checks that the token in the Secret is valid for at least this long.
func (s sample) livesLong(atLeast time.Duration) check {
	return check{
		what: fmt.Sprintf("the token of %s is valid for %.0f minutes at least", s.name, atLeast.Minutes()),
		met: func(_, now *snapshot) (string, bool) {
			token := now.tokens[s.name]
			if token == nil || token.Status.ExpirationTime == nil {
				return "no expiry", false
			}
			expires := token.Status.ExpirationTime.UTC()
			return "until " + expires.Format(time.RFC3339), time.Until(expires) > atLeast
		},
	}
}

// sameToken checks that the Secret holds the same token as before the phase.
func (s sample) sameToken() check {
	return check{
		what: fmt.Sprintf("Secret %s holds its token", s.name),
		met: func(before, now *snapshot) (string, bool) {
			is, was := now.fingerprint(s.name), before.fingerprint(s.name)
			if is == was && is != "" {
				return fmt.Sprintf("fingerprint %s, as before", is), true
			}
			return fmt.Sprintf("fingerprint %s, before %s", is, was), false
		},
	}
}

// labelled checks that the Secret has the label.
func (s sample) labelled(key, value string) check {
	return check{
		what: fmt.Sprintf("Secret %s still has the label %s=%s", s.name, key, value),
		met: func(_, now *snapshot) (string, bool) {
			secret := now.secrets[s.name]
			if secret == nil {
				return "no Secret", false
			}
			if secret.Labels[key] == value {
				return "", true
			}
			return fmt.Sprintf("labels %v", secret.Labels), false
		},
	}
}

// cameAfterGrant checks that the Secret exists and that the environment was changed during the
// phase. It reports the time from that change to the first sight of the Secret.
func (s sample) cameAfterGrant() check {
	return check{
		what: fmt.Sprintf("Secret %s, counted from the grant", s.name),
		met: func(before, now *snapshot) (string, bool) {
			if now.environment == nil || before.environment == nil ||
				now.environment.Generation == before.environment.Generation {
				return "the environment has not changed", false
			}
			secret := now.secrets[s.name]
			if secret == nil {
				return "no Secret", false
			}
			took := now.first[firstKey(secret)].Sub(now.first[firstKey(now.environment)])
			return fmt.Sprintf("after %.2f s", max(0, took).Seconds()), true
		},
	}
}

// cameAfter checks that the Secret exists. It reports the time from began to the first sight of
// the Secret.
func (s sample) cameAfter(began time.Time, what string) check {
	return check{
		what: fmt.Sprintf("the first Secret, counted from %s", what),
		met: func(_, now *snapshot) (string, bool) {
			secret := now.secrets[s.name]
			if secret == nil {
				return "no Secret", false
			}
			return fmt.Sprintf("after %.1f s", now.first[firstKey(secret)].Sub(began).Seconds()), true
		},
	}
}

// allLookedAfter checks that the running operator process has reconciled every PipesToken.
func allLookedAfter() check {
	return check{
		what: "the new process has looked at every PipesToken",
		met: func(_, now *snapshot) (string, bool) {
			seen := now.lookedAfter()
			return fmt.Sprintf("%d of %d", seen, len(now.tokens)), seen == len(now.tokens) && seen > 0
		},
	}
}

// allSynced checks that Ready is True for every PipesToken.
func allSynced() check {
	return check{
		what: "every PipesToken is Ready",
		met: func(_, now *snapshot) (string, bool) {
			for name := range now.tokens {
				if ready := now.ready(name); ready.Status != metav1.ConditionTrue {
					return fmt.Sprintf("%s has Ready=%s, %s", name, ready.Status, ready.Reason), false
				}
			}
			return "", len(now.tokens) > 0
		},
	}
}

// noCalls checks that WorkOS received no request during the phase.
func noCalls() check {
	return check{
		what: "WorkOS was asked for nothing",
		met: func(before, now *snapshot) (string, bool) {
			return fmt.Sprintf("%d calls before, %d after", len(before.requests), len(now.requests)),
				len(before.requests) == len(now.requests)
		},
	}
}

// noWrites checks that no Secret and no PipesToken was written during the phase. It compares the
// resource versions.
func noWrites() check {
	return check{
		what: "no Secret and no status was written",
		met: func(before, now *snapshot) (string, bool) {
			changed := changedVersions(before.secrets, now.secrets, func(s *corev1.Secret) string { return s.ResourceVersion })
			changed = append(changed,
				changedVersions(before.tokens, now.tokens, func(t *v1alpha1.PipesToken) string { return t.ResourceVersion })...)
			if len(changed) == 0 {
				return fmt.Sprintf("%d Secrets and %d PipesTokens have the resourceVersion that they had",
					len(now.secrets), len(now.tokens)), true
			}
			return "changed: " + strings.Join(changed, ", "), false
		},
	}
}

// changedVersions lists the objects that are new, are gone, or have a different resourceVersion.
func changedVersions[T any](before, now map[string]T, version func(T) string) []string {
	var changed []string
	for name, object := range now {
		was, there := before[name]
		switch {
		case !there:
			changed = append(changed, name+" is new")
		case version(was) != version(object):
			changed = append(changed, fmt.Sprintf("%s from %s to %s", name, version(was), version(object)))
		}
	}
	for name := range before {
		if _, there := now[name]; !there {
			changed = append(changed, name+" is gone")
		}
	}
	slices.Sort(changed)
	return changed
}

// times returns the count in words.
func times(n int) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	case 2:
		return "twice"
	default:
		return fmt.Sprintf("%d times", n)
	}
}
