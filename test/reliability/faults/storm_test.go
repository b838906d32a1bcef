//go:build reliability

package faults_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/test/harness"
	"github.com/pipes-operator/pipes-operator/test/reliability/figures"
)

// seedEnvironment is the variable that repeats a storm: the same faults in the same order. When
// each fault meets the operator still depends on the machine.
const seedEnvironment = "RELIABILITY_SEED"

// storm is a few minutes with many faults at the same time.
type storm struct {
	*site
	t        *testing.T
	workos   *wire
	fleet    *fleet
	troubles *troubles
	citizens []*citizen
	// founded is when all PipesTokens existed, before the operator started.
	founded time.Time
	began   time.Time
	ended   time.Time
	// forgotten counts the PipesTokens that did not reach their final state in time.
	forgotten int
}

// spells returns how long each of the two halves of the storm lasts, and how long the eye lasts:
// a time between them without faults, in which every renewal must be in time.
func spells() (spell, eye time.Duration) {
	if figures.Full() {
		return 6 * time.Minute, 75 * time.Second
	}
	return 90 * time.Second, 40 * time.Second
}

// promisedConvergence is how soon after the last fault everything must be correct, except for
// what only a slow poll finds.
const promisedConvergence = time.Minute

func TestStorm(t *testing.T) {
	t.Parallel()
	seed := stormSeed(t)
	t.Logf("to have this storm again: %s=%d", seedEnvironment, seed)
	s := newStorm(t)
	s.await(2*time.Minute, "before the storm")
	s.troubles.during("everybody has asked at once", patiently, s.flood)

	spell, eye := spells()
	s.began = time.Now()
	s.rage(seed, spell, secondKey)
	s.await(promisedConvergence, "in the eye of the storm")
	<-time.After(eye)
	s.rage(seed+1, spell, apiKey)
	s.ended = time.Now()
	converged := s.await(promisedConvergence, "after the storm")
	// Until the promised minute is over, renewals of valid tokens may wait for expired tokens.
	// The test goes on until then, and every renewal in it must still be in time.
	<-time.After(max(0, promisedConvergence-converged))
	s.judge(converged, s.oldestOverdue())
}

func stormSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv(seedEnvironment)
	if text == "" {
		return uint64(time.Now().UnixNano() % 1e9)
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", seedEnvironment, err)
	}
	return seed
}

func newStorm(t *testing.T) *storm {
	t.Helper()
	s := &storm{site: newSite(t), t: t, troubles: newTroubles(), citizens: population()}
	s.workos = layWire(t, "to WorkOS", s.upstream.address)
	s.plane.collectGarbage(t)
	s.settle(t, s.workos, s.citizens)
	s.founded = time.Now()
	flags := append(electing("storm"), "--default-environment="+harness.Namespace+"/default", "--kube-api-qps=200", "--kube-api-burst=200")
	s.fleet, _ = runFleet(t, s.troubles, s.newReplica(t, "storm-a", s.workos, flags...), s.newReplica(t, "storm-b", s.workos, flags...))
	return s
}

// note counts a fault and writes it to the log, so that findings can be compared with the faults.
func (s *storm) note(kind string) { s.troubles.inject(kind) }

// flood requests a refresh for all healthy PipesTokens at once, which is more than the budget of
// a minute.
func (s *storm) flood() {
	everybody := &people{storm: s}
	for _, c := range s.citizens {
		if c.healthy() {
			everybody.must(everybody.requestRefresh(context.Background(), c))
		}
	}
	s.await(3*time.Minute, "after everybody has asked at once")
}

// rage injects faults for that time, and returns after the last fault has ended.
func (s *storm) rage(seed uint64, span time.Duration, freshKey string) {
	ctx, cancel := context.WithTimeout(context.Background(), span)
	defer cancel()
	draws := func(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }
	here, there := &weather{storm: s, random: draws(1)}, &weather{storm: s, random: draws(2)}
	crowd, rulers := &people{storm: s, random: draws(3), citizens: s.citizens}, &people{storm: s, random: draws(4), freshKey: freshKey}
	var raging sync.WaitGroup
	raging.Go(func() { here.blow(ctx, here.onThisSide()) })
	raging.Go(func() { there.blow(ctx, there.onThatSide()) })
	raging.Go(func() { crowd.bustle(ctx) })
	raging.Go(func() { rulers.govern(ctx) })
	raging.Wait()
	s.upstream.ClearFaults()
}

// await waits until all PipesTokens are correct, and returns how long that took, without those
// that wait for a slow poll. A PipesToken that is not correct within the limit counts as
// forgotten. The test then continues, because the findings of the judges may explain what
// happened.
func (s *storm) await(limit time.Duration, when string) (converged time.Duration) {
	s.t.Helper()
	began := time.Now()
	last := ""
	for {
		unsettled := s.unsettled()
		took := time.Since(began)
		if len(unsettled) == 0 {
			s.t.Logf("%s, everybody was well after %s; the last was %s", when, took.Round(100*time.Millisecond), last)
			return converged
		}
		polled := s.polledSlowly(unsettled, began)
		if len(polled) < len(unsettled) {
			converged = took
		}
		last = sortedKeys(unsettled)[0]
		last += ": " + unsettled[last]
		late := maps.Clone(unsettled)
		maps.DeleteFunc(late, func(name, _ string) bool { return took <= max(limit, polled[name]) })
		if len(late) > 0 {
			s.forget(late, fmt.Sprintf("%s: after %s", when, took.Round(time.Second)))
			return took
		}
		<-time.After(250 * time.Millisecond)
	}
}

// forget counts the PipesTokens that are not correct, and reports the first five.
func (s *storm) forget(late map[string]string, when string) {
	s.t.Helper()
	s.forgotten += len(late)
	for i, name := range sortedKeys(late) {
		if i == 5 {
			s.t.Errorf("and %d more", len(late)-i)
			return
		}
		s.t.Errorf("%s %s is not as it should be: %s\n%s", when, name, late[name], s.explain(name))
	}
}

// polledSlowly returns those of the unsettled PipesTokens that wait for a person even without any
// fault, with the time after instant by which the operator asks again: by a slow poll, after a
// fifth of the time that they have waited. A new leader counts that time from its own start.
func (s *storm) polledSlowly(unsettled map[string]string, instant time.Time) map[string]time.Duration {
	const share, takeOver = 5, 30 * time.Second
	polled := map[string]time.Duration{}
	for _, c := range s.citizens {
		if _, waits := unsettled[c.fullName()]; waits && (c.reason == v1alpha1.NotInstalledReason || c.reason == v1alpha1.IntegrationNotFoundReason) {
			polled[c.fullName()] = instant.Sub(s.founded)/share + takeOver
		}
	}
	return polled
}

// explain describes what has happened to an object recently.
func (s *storm) explain(name string) string {
	const enough = 12
	var lines []string
	for _, c := range s.citizens {
		if c.fullName() != name {
			continue
		}
		for _, call := range s.upstream.RequestsFor(c.connection.ID) {
			lines = append(lines, fmt.Sprintf("%s WorkOS: %d %s, token %d", call.Time.Format("15:04:05.000"), call.Status, call.Result, call.TokenSerial))
		}
	}
	lines = lines[max(0, len(lines)-enough):]
	versions := s.history.of(s.t, tokenKind, name)
	for _, v := range versions[max(0, len(versions)-enough):] {
		if v.token != nil {
			lines = append(lines, v.at.UTC().Format("15:04:05.000")+" status: "+inWords(v.token))
		}
	}
	return strings.Join(lines, "\n")
}

// unsettled returns the PipesTokens that are not correct, and why.
func (s *storm) unsettled() map[string]string {
	ctx := context.Background()
	var tokens v1alpha1.PipesTokenList
	var secrets corev1.SecretList
	if err := s.plane.root.List(ctx, &tokens); err != nil {
		return map[string]string{"the API server": err.Error()}
	}
	if err := s.plane.root.List(ctx, &secrets); err != nil {
		return map[string]string{"the API server": err.Error()}
	}
	tokenOf, secretOf := map[string]*v1alpha1.PipesToken{}, map[string]*corev1.Secret{}
	for i := range tokens.Items {
		tokenOf[tokens.Items[i].Namespace+"/"+tokens.Items[i].Name] = &tokens.Items[i]
	}
	for i := range secrets.Items {
		secretOf[secrets.Items[i].Namespace+"/"+secrets.Items[i].Name] = &secrets.Items[i]
	}
	found := map[string]string{}
	for _, c := range s.citizens {
		if why := c.wrong(s.t, tokenOf[c.fullName()], secretOf[c.namespace+"/"+c.secretName()], time.Now()); why != "" {
			found[c.fullName()] = why
		}
	}
	return found
}

// wrong describes why a PipesToken is not correct; empty if it is correct.
func (c *citizen) wrong(t *testing.T, token *v1alpha1.PipesToken, secret *corev1.Secret, now time.Time) string {
	t.Helper()
	if token == nil {
		return "it does not exist"
	}
	ready := harness.ReadyOf(token)
	switch {
	case ready.Reason != c.reason:
		return "Ready says " + ready.Reason + ": " + ready.Message
	case ready.ObservedGeneration != token.Generation || token.Status.ObservedGeneration != token.Generation:
		return "its newest generation has not been observed"
	case !c.healthy() && kstatusOf(t, token) != status.FailedStatus:
		return "kstatus says " + string(kstatusOf(t, token))
	case !c.healthy():
		return ""
	case kstatusOf(t, token) != status.CurrentStatus:
		return "kstatus says " + string(kstatusOf(t, token))
	case len(token.Status.Conditions) > 3: // Ready, Connected and ScopesGranted are always there
		return "a condition says that something is wrong: " + inWords(token)
	case serialIn(c.connection, secret) <= 0:
		return "its Secret does not hold its token"
	case expired(expiryOf(secret), now):
		return "the token in its Secret has expired"
	case token.Annotations[v1alpha1.RefreshRequestedAtAnnotation] != token.Status.LastHandledRefreshRequest:
		return "a refresh that was requested has not been made"
	}
	return ""
}

// inWords lists the conditions of a PipesToken.
func inWords(token *v1alpha1.PipesToken) string {
	var words []string
	for _, c := range token.Status.Conditions {
		words = append(words, fmt.Sprintf("%s=%s %s since %s", c.Type, c.Status, c.Reason, c.LastTransitionTime.UTC().Format(time.TimeOnly)))
	}
	return strings.Join(words, ", ")
}

// expired reports whether the time in the expiry annotation is over. "never" is not over.
func expired(expiry string, now time.Time) bool {
	at, err := time.Parse(time.RFC3339, expiry)
	return err == nil && !now.Before(at)
}
