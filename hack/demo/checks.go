package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// state is what the cluster, the simulator and the operator show at one instant.
type state struct {
	tokens   map[string]v1alpha1.PipesToken
	secrets  map[string]corev1.Secret
	requests []workossim.Request // to WorkOS, oldest first; none for events
	events   []workossim.Event   // of WorkOS, oldest first
	upstream func(workossim.ID) (token string, expires time.Time, ok bool)
	// reconciled is how many PipesTokens the operator process has reconciled.
	reconciled int
}

// look returns the state now.
func (d *demo) look(ctx context.Context) (*state, error) {
	var tokens v1alpha1.PipesTokenList
	var secrets corev1.SecretList
	for _, list := range []client.ObjectList{&tokens, &secrets} {
		if err := d.cluster.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil, err
		}
	}
	s := &state{
		tokens: map[string]v1alpha1.PipesToken{}, secrets: map[string]corev1.Secret{},
		requests: d.simulator.Requests(), events: d.simulator.Events(),
		upstream: d.simulator.CurrentToken, reconciled: d.reconciled(ctx),
	}
	for _, token := range tokens.Items {
		s.tokens[token.Name] = token
	}
	for _, secret := range secrets.Items {
		s.secrets[secret.Name] = secret
	}
	return s, nil
}

// The metric has a series for each reason, and counts a PipesToken once it has been reconciled.
var tokensMetric = regexp.MustCompile(`(?m)^pipes_operator_tokens\{.*\} (\d+)$`)

// reconciled counts from the operator's metrics. It is 0 if the operator does not answer.
func (d *demo) reconciled(ctx context.Context) int {
	metrics, err := request(ctx, http.MethodGet, "http://"+d.metrics+"/metrics", "")
	if err != nil {
		return 0
	}
	total := 0
	for _, match := range tokensMetric.FindAllStringSubmatch(metrics, -1) {
		n, _ := strconv.Atoi(match[1]) // the pattern has digits only
		total += n
	}
	return total
}

// keys describes a Secret by the names in its data.
func (s *state) keys(name string) string {
	secret, exists := s.secrets[name]
	switch {
	case !exists:
		return "no Secret"
	case len(secret.Data) == 0:
		return "empty"
	default:
		return strings.Join(slices.Sorted(maps.Keys(secret.Data)), ", ")
	}
}

func (s *state) token(name string) string { return string(s.secrets[name].Data["access_token"]) }

// sample is a PipesToken of the samples. Its file and its Secret have the same name.
type sample struct {
	name string
	id   workossim.ID
}

var (
	githubAlice = sample{"github-alice", workossim.ID{Slug: "github", UserID: "user_01ALICE"}}
	slackAlice  = sample{"slack-alice", workossim.ID{Slug: "slack", UserID: "user_01ALICE"}}
	slackBob    = sample{"slack-bob", workossim.ID{Slug: "slack", UserID: "user_01BOB"}}
	notionBob   = sample{"notion-bob", workossim.ID{Slug: "notion", UserID: "user_01BOB"}}
	linearCarol = sample{"linear-carol", workossim.ID{Slug: "linear", UserID: "user_01CAROL"}}
)

// synced checks that Ready is True.
func (s sample) synced() check { return s.ready(metav1.ConditionTrue, v1alpha1.TokenSyncedReason) }

// stuck checks that Ready is False with the given reason.
func (s sample) stuck(reason string) check { return s.ready(metav1.ConditionFalse, reason) }

func (s sample) ready(status metav1.ConditionStatus, reason string) check {
	return check{fmt.Sprintf("%s has Ready=%s, %s", s.name, status, reason), func(_, now *state) (string, bool) {
		ready := meta.FindStatusCondition(now.tokens[s.name].Status.Conditions, v1alpha1.ReadyCondition)
		if ready == nil {
			return "no condition", false
		}
		if ready.Status != status || ready.Reason != reason {
			return fmt.Sprintf("Ready=%s, %s: %s", ready.Status, ready.Reason, ready.Message), false
		}
		return ready.Message, true
	}}
}

// holds checks which keys the Secret has. "empty" means none, "no Secret" that there is none.
func (s sample) holds(keys string) check {
	return check{"the keys of Secret " + s.name + ", expected " + keys, func(_, now *state) (string, bool) {
		return now.keys(s.name), now.keys(s.name) == keys
	}}
}

// holdsNewest checks that the Secret holds the token that WorkOS holds, and its expiry.
func (s sample) holdsNewest() check {
	return check{"Secret " + s.name + " holds the newest token", func(_, now *state) (string, bool) {
		token, expires, _ := now.upstream(s.id)
		valid := string(now.secrets[s.name].Data["expires_at"])
		return "valid until " + valid, token != "" && now.token(s.name) == token &&
			valid == expires.UTC().Truncate(time.Second).Format(time.RFC3339)
	}}
}

// repaired checks that the Secret holds the same token as before the phase, and has the label.
func (s sample) repaired(key, value string) check {
	what := fmt.Sprintf("Secret %s holds the token from before, and has the label %s=%s", s.name, key, value)
	return check{what, func(before, now *state) (string, bool) {
		return "", now.token(s.name) != "" && now.token(s.name) == before.token(s.name) &&
			now.secrets[s.name].Labels[key] == value
	}}
}

// livesLong checks that the token in the Secret is valid for at least this long.
func (s sample) livesLong(atLeast time.Duration) check {
	return check{fmt.Sprintf("%s is valid for at least %s", s.name, atLeast), func(_, now *state) (string, bool) {
		expires := now.tokens[s.name].Status.ExpirationTime
		return "", expires != nil && time.Until(expires.Time) > atLeast
	}}
}

// count returns the number of requests to WorkOS for this connection, and the number of different
// tokens in the answers.
func (s sample) count(seen *state) (calls, tokens int) {
	serials := map[int]bool{}
	for _, request := range seen.requests {
		if request.ID == s.id {
			calls++
			serials[request.TokenSerial] = true
		}
	}
	delete(serials, 0) // an answer without a token
	return calls, len(serials)
}

// calls checks the exact number of requests to WorkOS for this connection during the phase.
func (s sample) calls(want int) check {
	return check{fmt.Sprintf("calls for %s, expected %d", s.name, want), func(before, now *state) (string, bool) {
		was, _ := s.count(before)
		is, _ := s.count(now)
		return fmt.Sprint(is - was), is-was == want
	}}
}

// rotated checks that at least this many calls took place during the phase, and that each call so
// far has returned another token.
func (s sample) rotated(atLeast int) check {
	return check{fmt.Sprintf("%s has rotated %d times, with one call each", s.name, atLeast),
		func(before, now *state) (string, bool) {
			was, _ := s.count(before)
			calls, tokens := s.count(now)
			return fmt.Sprintf("%d calls since the start, %d tokens", calls, tokens), calls == tokens && calls-was >= atLeast
		}}
}

// firstSecret reports how long the first Secret took since the beginning of make demo.
func (s sample) firstSecret(since time.Time) check {
	return check{"the first Secret, counted from make demo", func(_, now *state) (string, bool) {
		_, exists := now.secrets[s.name]
		return fmt.Sprintf("after %.0f s", time.Since(since).Seconds()), exists
	}}
}

// followed checks that the operator has asked WorkOS after the last event of this connection,
// although nobody has annotated the PipesToken. It tells how long that took.
func (s sample) followed() check {
	what := s.name + " has no annotation, and the operator asked for the token by itself"
	return check{what, func(_, now *state) (string, bool) {
		connected, asked := time.Time{}, time.Time{}
		for _, event := range now.events {
			if event.Connection == s.id {
				connected = event.CreatedAt
			}
		}
		for _, request := range now.requests {
			if request.ID == s.id {
				asked = request.Time
			}
		}
		token := now.tokens[s.name]
		return fmt.Sprintf("%.1f s after the user connected", asked.Sub(connected).Seconds()),
			!connected.IsZero() && asked.After(connected) && token.Annotations[v1alpha1.RefreshRequestedAtAnnotation] == ""
	}}
}

// allReconciled checks that the running operator process has reconciled every PipesToken, and
// that all are Ready.
func allReconciled() check {
	return check{"the new process has reconciled every PipesToken, and all are Ready", func(_, now *state) (string, bool) {
		ready := 0
		for _, token := range now.tokens {
			if meta.IsStatusConditionTrue(token.Status.Conditions, v1alpha1.ReadyCondition) {
				ready++
			}
		}
		return fmt.Sprintf("%d of %d reconciled, %d Ready", now.reconciled, len(now.tokens), ready),
			ready > 0 && ready == len(now.tokens) && ready == now.reconciled
	}}
}

// nothingDone checks that WorkOS received no request, and that no Secret and no PipesToken was
// written during the phase.
func nothingDone() check {
	return check{"no call, and no write of a Secret or a status", func(before, now *state) (string, bool) {
		calls := len(now.requests) - len(before.requests)
		was, is := before.versions(), now.versions()
		return fmt.Sprintf("%d calls, %d objects with the resourceVersion from before", calls, len(is)),
			calls == 0 && maps.Equal(was, is)
	}}
}

// versions returns the resourceVersion of each Secret and PipesToken.
func (s *state) versions() map[string]string {
	versions := map[string]string{}
	for name, token := range s.tokens {
		versions["PipesToken "+name] = token.ResourceVersion
	}
	for name, secret := range s.secrets {
		versions["Secret "+name] = secret.ResourceVersion
	}
	return versions
}
