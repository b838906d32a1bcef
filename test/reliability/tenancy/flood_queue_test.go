//go:build reliability

package tenancy_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	clocks "k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness"
	"github.com/pipes-operator/pipes-operator/test/reliability/figures"
)

// floods are the measurements of the specs in this file.
var floods []figures.Figure

// crowded is a cluster with two tenants: the first floods the operator, and the other waits for
// its tokens. The operator has its real queues and a real clock.
type crowded struct {
	*world // the tenant that floods
	other  *world
	workos *workossim.Simulator
	// floods: there are loops that send requests.
	floods bool
	sent   atomic.Int64
	flaws  atomic.Int64 // failed requests of the flood
	flaw   atomic.Value // the error of the last failed request, a string
	// turns counts the rounds. Each round needs new PipesTokens, because two requests for one
	// connection are at least five seconds apart.
	turns int
}

// mostRounds is for how many rounds there are PipesTokens.
const mostRounds = 9

func newCrowded() *crowded {
	GinkgoHelper()
	c := &crowded{workos: workossim.New(workossim.Options{APIKeys: []string{apiKey}, Slugs: []string{"github", "slack"}})}
	DeferCleanup(c.workos.Close)
	operator.stop()
	DeferCleanup(func() { operator.start() })
	network.answerWith(c.workos.ServeHTTP) // the clock of the shared simulator stands still
	busy := &process{}
	busy.startAt(clocks.RealClock{},
		controller.Options{SkipNameValidation: ptr.To(true), MaxConcurrentReconciles: 20},
		controller.Options{SkipNameValidation: ptr.To(true), MaxConcurrentReconciles: 1})
	DeferCleanup(func() { busy.stop() })
	c.other = newWorld(nothing)
	c.world = newWorld(fmt.Sprintf(`{grants: [{namespaces: {names: [TENANT]}, `+anything+`}, {namespaces: {names: [%s]}, `+anything+`}]}`, c.other.namespace))
	for turn := range mostRounds {
		c.must(c.neighbours("renewed", turn))
		c.must(c.neighbours("withdrawn", turn))
	}
	for turn := range mostRounds {
		c.expectReady(c.neighbours("renewed", turn), v1alpha1.TokenSyncedReason, "")
		c.expectReady(c.neighbours("withdrawn", turn), v1alpha1.TokenSyncedReason, "")
	}
	return c
}

// wants returns a PipesToken of the flooding tenant, for a user whom it connects.
func (c *crowded) wants(name, slug, user string) *unstructured.Unstructured {
	GinkgoHelper()
	c.workos.Put(workossim.Connection{ID: workossim.ID{Slug: slug, UserID: user}, Lifetime: time.Hour, AlwaysFresh: true})
	return c.pipesToken(name, fmt.Sprintf(`{slug: %s, userID: %s}`, slug, user))
}

// neighbours returns a PipesToken of the other tenant. Its user has the same name.
func (c *crowded) neighbours(purpose string, turn int) *unstructured.Unstructured {
	GinkgoHelper()
	name := fmt.Sprint(purpose, "-", turn)
	token := c.wants(name, "github", name)
	token.SetNamespace(c.other.namespace)
	return token
}

// deny withdraws the grant of one user of the other tenant, and keeps all other grants.
func (c *crowded) deny(denied string) {
	GinkgoHelper()
	var users []string
	for turn := range mostRounds {
		for _, purpose := range []string{"first", "renewed", "withdrawn"} {
			if user := fmt.Sprint(purpose, "-", turn); user != denied {
				users = append(users, user)
			}
		}
	}
	environment := newEnvironment(harness.Namespace, c.environment, `{}`)
	Expect(c.edit(root, environment, func() {
		setSpec(environment, "grants", []any{
			parse(`{namespaces: {names: [` + c.namespace + `]}, ` + anything + `}`),
			parse(fmt.Sprintf(`{namespaces: {names: [%s]}, slugs: ["*"], organizationIDs: ["*"], userIDs: [%s]}`, c.other.namespace, strings.Join(users, ", "))),
		})
	})).To(Succeed())
}

// round is how long a first token, a renewal and a withdrawal took until the Secret showed them,
// and how long a write of a plain client took at the same time.
type round struct{ first, renewed, withdrawn, write time.Duration }

func (c *crowded) round() round {
	GinkgoHelper()
	Expect(c.turns).To(BeNumerically("<", mostRounds), "no PipesTokens are left")
	first, renewed, withdrawn := c.neighbours("first", c.turns), c.neighbours("renewed", c.turns), c.neighbours("withdrawn", c.turns)
	c.turns++
	held := func(token client.Object) string {
		if secret := c.other.secretOf(token.GetName()); secret != nil {
			return string(secret.Data["access_token"])
		}
		return ""
	}
	took := func(do func(), token client.Object, done func(token string) bool) time.Duration {
		do()
		began := time.Now()
		Eventually(func() bool { return done(held(token)) }, time.Minute, often).Should(BeTrue(), token.GetName())
		return time.Since(began)
	}
	old := held(renewed)
	times := round{
		first: took(func() { c.must(first) }, first, func(token string) bool { return token != "" }),
		renewed: took(func() { c.other.askNow(renewed, "now") }, renewed, func(token string) bool {
			return token != "" && token != old
		}),
		withdrawn: took(func() { c.deny(withdrawn.GetName()) }, withdrawn, func(token string) bool { return token == "" }),
	}
	began := time.Now()
	Expect(root.Create(c.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: c.other.namespace, GenerateName: "bare-"}})).To(Succeed())
	times.write = time.Since(began)
	return times
}

// worst is the longest time of each kind, over that many rounds.
func (c *crowded) worst(rounds int) (worst round) {
	GinkgoHelper()
	for range rounds {
		took := c.round()
		worst = round{
			max(worst.first, took.first), max(worst.renewed, took.renewed),
			max(worst.withdrawn, took.withdrawn), max(worst.write, took.write),
		}
	}
	return worst
}

// loops runs count clients. Each calls do again and again until the spec ends.
func (c *crowded) loops(count int, do func(loop, turn int) error) {
	c.floods = true
	ctx, cancel := context.WithCancel(c.ctx)
	var running sync.WaitGroup
	for loop := range count {
		running.Go(func() {
			for turn := 0; ctx.Err() == nil; turn++ {
				c.sent.Add(1)
				if err := do(loop, turn); err != nil && ctx.Err() == nil {
					c.flaws.Add(1)
					c.flaw.Store(err.Error())
				}
			}
		})
	}
	DeferCleanup(func() { cancel(); running.Wait() })
}

// population creates PipesTokens of the flooding tenant. It does not wait for the operator.
func (c *crowded) population(count int, slug string) (tokens []*unstructured.Unstructured) {
	GinkgoHelper()
	for i := range count {
		token := c.wants(fmt.Sprint("flood-", i), slug, fmt.Sprint("flood-", i))
		Expect(c.editor.Create(c.ctx, token)).To(Succeed())
		tokens = append(tokens, token)
	}
	return tokens
}

// patches runs loops that patch one object after another. patch gets the number of the loop and
// the number of the turn within the loop.
func (c *crowded) patches(object func(n int) client.Object, patch func(loop, turn int) string) {
	const count = 8
	c.loops(count, func(loop, turn int) error {
		return c.editor.Patch(c.ctx, object(turn*count+loop), client.RawPatch(types.MergePatchType, []byte(patch(loop, turn))))
	})
}

// turned returns a patch that contains both numbers as one string.
func turned(format string) func(loop, turn int) string {
	return func(loop, turn int) string { return fmt.Sprintf(format, fmt.Sprintf("%d-%d", loop, turn)) }
}

// churn runs loops. Each creates an object with a name of its own, and deletes it.
func (c *crowded) churn(as client.Client, object func(name string) client.Object) {
	c.loops(8, func(loop, turn int) error {
		created := object(fmt.Sprintf("flood-%d-%d", loop, turn))
		if err := as.Create(c.ctx, created); err != nil {
			return err
		}
		return as.Delete(c.ctx, created)
	})
}

// oneOf30 creates 30 PipesTokens, waits until their Secrets contain tokens, and returns a
// function that returns copies of them.
func (c *crowded) oneOf30() func(n int) client.Object {
	GinkgoHelper()
	tokens := c.population(30, "github")
	for _, token := range tokens {
		c.expectReady(token, v1alpha1.TokenSyncedReason, "")
	}
	return func(n int) client.Object { return tokens[n%len(tokens)].DeepCopy() }
}

func floodOfEdits(c *crowded) {
	c.patches(c.oneOf30(), turned(`{"spec":{"secretTemplate":{"labels":{"example.com/turn":%q}}}}`))
}

func floodOfLabels(c *crowded) {
	c.patches(c.oneOf30(), turned(`{"metadata":{"labels":{"turn":%q}}}`))
}

func floodOfRefreshes(c *crowded) {
	c.patches(c.oneOf30(), turned(`{"metadata":{"annotations":{"`+v1alpha1.RefreshRequestedAtAnnotation+`":%q}}}`))
}

// floodOfForgeries rewrites the annotations that the operator reads from its Secrets. It uses
// several field managers, among them the operator's own.
func floodOfForgeries(c *crowded) {
	tokens := c.oneOf30()
	managers := []string{"kubectl", tokensecret.FieldManager, "helm"}
	c.loops(8, func(loop, turn int) error {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: tokens(turn*8 + loop).GetName()}}
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"pipes.workos.com/expires-at":"2036-01-01T00:%02d:00Z","pipes.workos.com/token-hash":"%d"}}}`, turn%60, turn)
		return c.editor.Patch(c.ctx, secret, client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner(managers[turn%len(managers)]))
	})
}

func floodOfNewObjects(c *crowded) {
	c.churn(c.editor, func(name string) client.Object { return c.pipesToken(name, fmt.Sprintf(`{userID: %s}`, name)) })
}

// floodOfSecrets creates and deletes Secrets with the operator's labels.
func floodOfSecrets(c *crowded) {
	c.churn(c.editor, func(name string) client.Object {
		secret := newSecret(c.namespace, name, map[string]string{"access_token": "forged"})
		secret.Labels = map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue, v1alpha1.TokenLabel: name}
		return secret
	})
}

// floodOfEnvironments uses the rights of a cluster administrator, because users with edit may not
// create PipesEnvironments.
func floodOfEnvironments(c *crowded) {
	c.churn(root, func(name string) client.Object { return newEnvironment(c.namespace, name, `{}`) })
}

// ungranted returns a PipesToken of the flooding tenant that no grant allows.
func (c *crowded) ungranted(name string) *unstructured.Unstructured {
	return c.pipesToken(name, `{environmentRef: {name: none, namespace: null}}`)
}

func floodWithoutGrant(c *crowded) {
	c.loops(8, func(loop, turn int) error {
		return c.editor.Create(c.ctx, c.ungranted(fmt.Sprintf("flood-%d-%d", loop, turn)))
	})
}

// floodOfDenied creates 5,000 PipesTokens without a grant, and edits them.
func floodOfDenied(c *crowded) {
	const count, creators = 5000, 16
	denied := func(n int) client.Object { return c.ungranted(fmt.Sprint("denied-", n%count)) }
	var creating sync.WaitGroup
	for creator := range creators {
		creating.Go(func() {
			defer GinkgoRecover()
			for n := creator; n < count; n += creators {
				Expect(c.editor.Create(c.ctx, denied(n))).To(Succeed())
			}
		})
	}
	creating.Wait()
	c.patches(denied, func(_, turn int) string { return fmt.Sprintf(`{"spec":{"refreshInterval":"%dm"}}`, 10+turn%50) })
}

func floodOfCallsThatHang(c *crowded) {
	c.workos.Inject(workossim.Fault{Kind: workossim.FaultTimeout, Match: &workossim.ID{Slug: "slack"}})
	c.population(60, "slack")
}

func floodOfCallsThatFail(c *crowded) {
	c.workos.Inject(workossim.Fault{Kind: workossim.FaultServerError, Match: &workossim.ID{Slug: "slack"}})
	c.population(60, "slack")
}

var _ = DescribeTable("A tenant that floods the queue does not delay another", func(name string, flood func(*crowded)) {
	c := newCrowded()
	const rounds = (mostRounds - 1) / 2
	c.worst(1) // opens connections and fills caches
	undisturbed := c.worst(rounds)
	flood(c)
	if c.floods { // the queue is full before anything is measured
		Eventually(c.sent.Load, 2*time.Minute, often).Should(BeNumerically(">", 1500))
	}
	flooded := c.worst(rounds)
	row := fmt.Sprintf("first token after %v (undisturbed %v), renewed after %v (undisturbed %v), withdrawn after %v (undisturbed %v), a bare client's write %v (undisturbed %v); the flood sent %d requests, of which %d failed",
		rough(flooded.first), rough(undisturbed.first), rough(flooded.renewed), rough(undisturbed.renewed),
		rough(flooded.withdrawn), rough(undisturbed.withdrawn),
		rough(flooded.write), rough(undisturbed.write), c.sent.Load(), c.flaws.Load())
	AddReportEntry(name, row)
	floods = append(floods, figures.Figure{Name: fmt.Sprintf("worst of %d under a flood: %s", rounds, name), Value: row, Promise: "≤ twice undisturbed, or 2 s"})
	Expect(c.flaws.Load()).To(BeNumerically("<=", c.sent.Load()/2), "a flood that is refused is none: %v", c.flaw.Load())
	// The flood may also keep the API server busy. Then the write of the Secret, and the read of
	// this test, take as long as a write of the plain client.
	slow := 2 * flooded.write
	for _, measured := range []struct{ flooded, undisturbed time.Duration }{
		{flooded.first, undisturbed.first}, {flooded.renewed, undisturbed.renewed}, {flooded.withdrawn, undisturbed.withdrawn},
	} {
		Expect(measured.flooded).To(BeNumerically("<=", max(2*measured.undisturbed, 2*time.Second)+slow), row)
	}
},
	attack("T25", "by editing 30 PipesTokens", "30 PipesTokens edited by 8 loops", floodOfEdits),
	attack("T25", "by labels of 30 PipesTokens", "labels of 30 PipesTokens edited by 8 loops", floodOfLabels),
	attack("T25", "by requests to refresh", "refreshes of 30 PipesTokens requested by 8 loops", floodOfRefreshes),
	attack("T25", "by forged annotations", "annotations of 30 Secrets forged by 8 loops", floodOfForgeries),
	attack("T25", "by creating and deleting PipesTokens", "PipesTokens created and deleted by 8 loops", floodOfNewObjects),
	attack("T25", "by creating and deleting Secrets", "Secrets created and deleted by 8 loops", floodOfSecrets),
	attack("T25", "by creating and deleting PipesEnvironments", "PipesEnvironments created and deleted by 8 loops", floodOfEnvironments),
	attack("T25", "by PipesTokens without a grant", "PipesTokens without a grant created by 8 loops", floodWithoutGrant),
	attack("T25", "by 5,000 PipesTokens without a grant", "5,000 PipesTokens without a grant edited by 8 loops", floodOfDenied),
	attack("T25", "by calls that hang", "60 PipesTokens whose calls hang", floodOfCallsThatHang),
	attack("T25", "by calls that fail", "60 PipesTokens whose calls fail", floodOfCallsThatFail),
)

func rough(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
