//go:build reliability

package model_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness"
	"github.com/pipes-operator/pipes-operator/test/harness/canary"
)

var (
	start              = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	defaultEnvironment = types.NamespacedName{Namespace: "home", Name: "default"}
	ownEnvironment     = types.NamespacedName{Namespace: "tenant-b", Name: "own"}
	tenants            = []string{"tenant-a", "tenant-b"}
	tokenNames         = []string{"x", "y"}
	secretNames        = []string{"x", "y", "shared"}
)

const (
	apiKeySecret = "workos-api-key"
	apiKeyEntry  = "api-key"
	// strangeState is an error of WorkOS that the operator does not know.
	strangeState = "under_review"
)

// world is the state that a sequence of actions changes.
type world struct {
	t      rapid.TB
	clock  *clocktesting.FakePassiveClock // the true time
	server *apiServer
	workos *workossim.Simulator
	// operators are the running processes. The first process is the one that survives in settle.
	operators []*operator
	started   int

	connections map[workossim.ID]workossim.Connection
	keys        int
	// perMinute is the requestsPerMinute of the environments. mostPerMinute is the highest value
	// so far.
	perMinute, mostPerMinute int32
	calls                    []call
	issued                   map[string]issued
	// writes are the tokens that the operator has written, by the UID of the PipesToken.
	writes map[types.UID][]written

	// takesTheCeiling: a node has stood still, or its clock was wrong, or a status was forged.
	// Nothing notifies the operator of that, so convergence can take the ceiling.
	takesTheCeiling bool
	// datesWereWrong: WorkOS has sent a date that differs from the clock by which its tokens
	// expire.
	datesWereWrong bool
	// booted is an instant with a monotonic reading. The clocks of nodes start from it.
	booted time.Time
	// quiet: no action interferes any more.
	quiet bool

	// turns counts the reconciles of each object within the second that starts at turnsAt.
	turns     map[reconcile.Request]int
	turnsAt   time.Time
	passes    int
	steps     int
	effects   map[effect]int
	violation string
	log       []string
}

// written is one token that the operator has put into a Secret.
type written struct {
	secret   types.NamespacedName
	token    string
	expires  string
	obtained string
	// basis is the number of the call that returned the token.
	basis int
}

func newWorld(t rapid.TB, perMinute int32) *world {
	clock := clocktesting.NewFakePassiveClock(start)
	w := &world{
		t: t, clock: clock, booted: time.Now(), perMinute: perMinute, mostPerMinute: perMinute, server: newAPIServer(clock),
		workos:      workossim.New(workossim.Options{Clock: clock, Slugs: []string{"github", "slack"}}),
		connections: map[workossim.ID]workossim.Connection{}, issued: map[string]issued{},
		writes: map[types.UID][]written{}, turns: map[reconcile.Request]int{}, effects: map[effect]int{},
	}
	for namespace, team := range map[string]string{"home": "platform", "tenant-a": "a", "tenant-b": "b"} {
		w.server.put(namespaces, &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"team": team, "user": "u1"}},
		})
	}
	w.rotateKey()
	for _, key := range []types.NamespacedName{defaultEnvironment, ownEnvironment} {
		w.createEnvironment(key, []v1alpha1.Grant{harness.Anything(v1alpha1.GrantNamespaces{Names: []string{"tenant-a", "tenant-b"}})}, perMinute)
	}
	w.operators = []*operator{newOperator(w, len(w.server.history))}
	return w
}

// rotateKey gives every environment a new API key. WorkOS then accepts no other key.
func (w *world) rotateKey() {
	w.keys++
	key := fmt.Sprintf("sk_canary_%d", w.keys)
	for _, namespace := range []string{defaultEnvironment.Namespace, ownEnvironment.Namespace} {
		name := types.NamespacedName{Namespace: namespace, Name: apiKeySecret}
		w.server.remove(secrets, name)
		w.server.put(secrets, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: apiKeySecret, Namespace: namespace},
			Data:       map[string][]byte{apiKeyEntry: []byte(key)},
		})
	}
	w.workos.SetAPIKeys(key)
}

func (w *world) createEnvironment(key types.NamespacedName, grants []v1alpha1.Grant, perMinute int32) {
	w.server.put(environments, &v1alpha1.PipesEnvironment{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Spec: v1alpha1.PipesEnvironmentSpec{
			APIKeySecretRef: v1alpha1.SecretKeyReference{Name: apiKeySecret, Key: apiKeyEntry},
			BaseURL:         baseURL, RequestsPerMinute: perMinute, Grants: grants,
		},
	})
}

// end stops everything, so that no goroutine is left.
func (w *world) end() {
	for _, o := range w.operators {
		o.kill()
	}
	w.operators = nil
}

// buryTheDead stops the processes that have been killed. If no process is left, it starts a new
// one.
func (w *world) buryTheDead() {
	for _, o := range slices.Clone(w.operators) {
		if o.dead {
			o.kill()
			w.operators = slices.DeleteFunc(w.operators, func(other *operator) bool { return other == o })
		}
	}
	if len(w.operators) == 0 {
		w.operators = append(w.operators, newOperator(w, len(w.server.history)))
	}
}

// logf adds a line to the log that is printed with a violation.
func (w *world) logf(format string, args ...any) {
	w.log = append(w.log, w.clock.Now().Format("02 15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// violatedf notes that an invariant does not hold. Only the first violation is kept.
func (w *world) violatedf(format string, args ...any) {
	if w.violation == "" {
		w.violation = fmt.Sprintf(format, args...)
	}
}

// check fails the test if an invariant does not hold.
func (w *world) check() {
	if w.violation == "" {
		return
	}
	w.t.Logf("%s", strings.Join(w.log, "\n"))
	w.t.Fatalf("%s", w.violation)
}

func (w *world) must(err error) {
	if err != nil {
		panic(err)
	}
}

// noteTurn counts reconciles. More than 100 reconciles of one object within a second are a hot
// loop.
func (w *world) noteTurn(o *operator, controller string, request reconcile.Request) {
	const many = 100
	if now := w.clock.Now(); now.Sub(w.turnsAt) >= time.Second {
		w.turnsAt, w.turns = now, map[reconcile.Request]int{}
	}
	w.passes++
	w.turns[request]++
	if w.turns[request] > many {
		w.violatedf("%s %s gets pass after pass: a hot loop", controller, request)
	}
	if controller == "pipestoken" {
		w.logf("%d: pass over %s", o.id, request)
	}
}

// tokenPattern matches the tokens of the simulator and the values that strangers write.
var tokenPattern = regexp.MustCompile(`canary_\w+`)

// expectNoCanary reports a violation if text contains a token or an API key: all of them contain
// "canary".
func (w *world) expectNoCanary(where, text string) {
	if found := canary.Find(text); found != "" {
		w.violatedf("%s tells a secret: %s", where, found)
	}
}

// tokensIn returns the tokens of WorkOS that are in the data of a Secret.
func tokensIn(secret *corev1.Secret) []string {
	var found []string
	if secret == nil {
		return nil
	}
	for _, value := range secret.Data {
		for _, token := range tokenPattern.FindAllString(string(value), -1) {
			if !strings.HasPrefix(token, "canary_stranger") && !slices.Contains(found, token) {
				found = append(found, token)
			}
		}
	}
	return found
}

func itoa(n int) string { return strconv.Itoa(n) }
