package controllers_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/controllers/pipestoken"
	"github.com/pipes-operator/pipes-operator/internal/liveness"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
	"github.com/pipes-operator/pipes-operator/internal/workos"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

const (
	apiKey        = "sk_test_canary_key"
	apiKeySecret  = "workos-api-key"
	apiKeyEntry   = "api-key"
	environmentID = "default"
	soon          = 10 * time.Second
	often         = 10 * time.Millisecond
)

// world is the environment of one spec: two namespaces, a WorkOS, a clock, and an operator that
// can be restarted.
type world struct {
	ctx context.Context
	// home is the namespace of the PipesEnvironment, and tenant the namespace of the PipesTokens.
	home, tenant string
	upstream     *workossim.Simulator
	baseURL      string
	clock        *testingclock.FakeClock
	// ahead is how far WorkOS's clock is ahead of clock, in nanoseconds.
	ahead    atomic.Int64
	timeline *timeline
	operator *operator
	// stepEnvironments also runs the timers of PipesEnvironments on the timeline. They fire every
	// 30 seconds.
	stepEnvironments bool
	// audit is the audit log of all operators of this world.
	audit auditLog
	// followEvents makes the operator follow the events of WorkOS.
	followEvents bool
}

// newWorld has an environment that grants the tenant everything. The operator does not run yet.
func newWorld() *world {
	w := &world{ctx: context.Background(), clock: testingclock.NewFakeClock(time.Now().UTC().Truncate(time.Second))}
	w.timeline = newTimeline(w.clock)
	w.home, w.tenant = w.namespace("home-"), w.namespace("tenant-")
	w.upstream = workossim.New(workossim.Options{Clock: upstreamClock{w}, APIKeys: []string{apiKey}, Slugs: []string{"github", "slack", "linear", "notion"}})
	server := httptest.NewServer(w.upstream)
	DeferCleanup(func() { w.upstream.Close(); server.Close() })
	w.baseURL = server.URL
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: apiKeySecret, Namespace: w.home}, StringData: map[string]string{apiKeyEntry: apiKey}})
	w.create(w.environment())
	return w
}

// upstreamClock is the clock of WorkOS.
type upstreamClock struct{ *world }

func (c upstreamClock) Now() time.Time { return c.clock.Now().Add(time.Duration(c.ahead.Load())) }

func (c upstreamClock) Since(then time.Time) time.Duration { return c.Now().Sub(then) }

// running returns a new world with a running operator.
func running() *world {
	w := newWorld()
	w.start()
	w.waitForEnvironment(v1alpha1.AvailableReason)
	w.operator.requests.waitForEvents(1)
	return w
}

func (w *world) namespace(prefix string) string {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix}}
	w.create(namespace)
	return namespace.Name
}

// anythingFor is a grant of every slug, organization and user to namespaces.
func anythingFor(namespaces v1alpha1.GrantNamespaces) v1alpha1.Grant {
	return harness.Anything(namespaces)
}

func (w *world) environment() *v1alpha1.PipesEnvironment {
	return &v1alpha1.PipesEnvironment{
		ObjectMeta: metav1.ObjectMeta{Name: environmentID, Namespace: w.home},
		Spec: v1alpha1.PipesEnvironmentSpec{
			APIKeySecretRef: v1alpha1.SecretKeyReference{Name: apiKeySecret, Key: apiKeyEntry},
			BaseURL:         w.baseURL, RequestsPerMinute: 60000,
			Grants: []v1alpha1.Grant{anythingFor(v1alpha1.GrantNamespaces{Names: []string{w.tenant}})},
		},
	}
}

// token returns a PipesToken of the tenant, for a user of the same name.
func (w *world) token(name string) *v1alpha1.PipesToken {
	return &v1alpha1.PipesToken{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.tenant},
		Spec:       v1alpha1.PipesTokenSpec{Slug: "github", UserID: name, OrganizationID: "org_1"},
	}
}

// connect gives the user of token a connection at WorkOS.
func (w *world) connect(token *v1alpha1.PipesToken, change ...func(*workossim.Connection)) workossim.ID {
	connection := workossim.Connection{ID: idOf(token), State: workossim.Connected, Lifetime: time.Hour, Scopes: []string{"repo", "user:email"}}
	for _, c := range change {
		c(&connection)
	}
	w.upstream.Put(connection)
	return connection.ID
}

func idOf(token *v1alpha1.PipesToken) workossim.ID {
	return harness.IDOf(token)
}

// synced creates a connected PipesToken, and waits until its Secret contains a token.
func (w *world) synced(name string, change ...func(*workossim.Connection)) *v1alpha1.PipesToken {
	GinkgoHelper()
	token := w.token(name)
	w.connect(token, change...)
	w.settled(token, v1alpha1.TokenSyncedReason)
	return token
}

// rested calls synced, and then waits for the least time between two requests for one connection.
func (w *world) rested(name string, change ...func(*workossim.Connection)) *v1alpha1.PipesToken {
	GinkgoHelper()
	token := w.synced(name, change...)
	w.timeline.advance(workos.MinInterval)
	return token
}

// settled creates a PipesToken, and waits until the operator has reported reason in status and
// event.
func (w *world) settled(token *v1alpha1.PipesToken, reason string) {
	GinkgoHelper()
	events := w.operator.requests.count(emitEvent)
	w.create(token)
	w.waitForReason(token, reason)
	w.operator.requests.waitForEvents(events + 1)
}

func (w *world) create(object client.Object) {
	GinkgoHelper()
	Expect(user.Create(w.ctx, object)).To(Succeed())
}

// edit applies change to an object, as kubectl edit does.
func (w *world) edit(object client.Object, change func()) {
	GinkgoHelper()
	Expect(user.Get(w.ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
	before := object.DeepCopyObject().(client.Object)
	change()
	Expect(user.Patch(w.ctx, object, client.MergeFrom(before))).To(Succeed())
}

// reload reads the current state of a PipesToken. It also expects that kstatus and Argo CD agree
// on its status.
func (w *world) reload(token *v1alpha1.PipesToken) *v1alpha1.PipesToken {
	GinkgoHelper()
	Expect(user.Get(w.ctx, client.ObjectKeyFromObject(token), token)).To(Succeed())
	kstatusOf(token)
	return token
}

// secret returns the current Secret of token, or nil if it does not exist.
func (w *world) secret(token *v1alpha1.PipesToken) *corev1.Secret {
	GinkgoHelper()
	secret := &corev1.Secret{}
	err := user.Get(w.ctx, types.NamespacedName{Namespace: token.Namespace, Name: token.TargetSecretName()}, secret)
	if client.IgnoreNotFound(err) == nil && err != nil {
		return nil
	}
	Expect(err).NotTo(HaveOccurred())
	return secret
}

// tokenIn returns the token in the Secret; empty if there is none.
func (w *world) tokenIn(token *v1alpha1.PipesToken) string {
	if secret := w.secret(token); secret != nil {
		return string(secret.Data["access_token"])
	}
	return ""
}

func (w *world) waitForReason(token *v1alpha1.PipesToken, reason string) {
	GinkgoHelper()
	w.waitForReasonOnly(token, reason)
	w.timeline.settle()
}

// waitForReasonOnly does not wait until the operator settles, because the operator does not
// settle while its reconciles fail.
func (w *world) waitForReasonOnly(token *v1alpha1.PipesToken, reason string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		ready := meta.FindStatusCondition(w.reload(token).Status.Conditions, v1alpha1.ReadyCondition)
		g.Expect(ready).NotTo(BeNil())
		g.Expect(ready.Reason).To(Equal(reason), "Ready says: %s", ready.Message)
		g.Expect(token.Status.ObservedGeneration).To(Equal(token.Generation))
	}, soon, often).Should(Succeed())
}

func (w *world) waitForEnvironment(reason string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		environment := &v1alpha1.PipesEnvironment{}
		g.Expect(user.Get(w.ctx, types.NamespacedName{Namespace: w.home, Name: environmentID}, environment)).To(Succeed())
		kstatusOf(environment)
		ready := meta.FindStatusCondition(environment.Status.Conditions, v1alpha1.ReadyCondition)
		g.Expect(ready).NotTo(BeNil())
		g.Expect(ready.Reason).To(Equal(reason), "Ready says: %s", ready.Message)
		g.Expect(environment.Status.ObservedGeneration).To(Equal(environment.Generation))
	}, soon, often).Should(Succeed())
	w.timeline.settle()
}

// waitForPass calls change, and waits until the operator has reconciled token after that and has
// settled.
func (w *world) waitForPass(token *v1alpha1.PipesToken, change func()) {
	GinkgoHelper()
	before := w.timeline.passesOf(requestFor(token))
	change()
	Eventually(func() int { return w.timeline.passesOf(requestFor(token)) }, soon, often).Should(BeNumerically(">", before))
	w.timeline.settle()
}

// waitForTimers waits until each object has a timer for its next reconcile. After a start, this
// shows that the operator has reconciled all of them.
func waitForTimers[O client.Object](w *world, objects ...O) {
	GinkgoHelper()
	for _, object := range objects {
		Eventually(func() time.Time { return w.timeline.timerOf(requestFor(object)) }, soon, often).ShouldNot(BeZero(), "%s comes back", object.GetName())
	}
	w.timeline.settle()
}

func requestFor(object client.Object) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)}
}

// kstatusOf returns the status that kstatus computes for the object, as kubectl-like tools show
// it. It also expects that Argo CD's health check agrees.
func kstatusOf(object client.Object) status.Status {
	GinkgoHelper()
	computed, read, err := harness.KStatusOf(object)
	Expect(err).NotTo(HaveOccurred())
	expectArgoCDToAgree(read, computed)
	return computed
}

// conditionsOf lists conditions as "Type=Status/Reason".
func conditionsOf(token *v1alpha1.PipesToken) []string {
	var conditions []string
	for _, c := range token.Status.Conditions {
		conditions = append(conditions, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
	}
	return conditions
}

// awaitCached waits until the operator's cache has the current version of the object. Of a Secret it
// has the metadata.
func (w *world) awaitCached(object client.Object) {
	GinkgoHelper()
	Expect(user.Get(w.ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
	seen := object.DeepCopyObject().(client.Object)
	if _, isSecret := object.(*corev1.Secret); isSecret {
		metadata := &metav1.PartialObjectMetadata{}
		metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
		seen = metadata
	}
	Eventually(func() string {
		if err := w.operator.caches.Get(w.ctx, client.ObjectKeyFromObject(object), seen); err != nil {
			return err.Error()
		}
		return seen.GetResourceVersion()
	}, soon, often).Should(Equal(object.GetResourceVersion()))
}

// operator is one process of the operator, with its own memory and caches.
type operator struct {
	stop     func()
	requests *requests
	watchdog *liveness.Watchdog
	// caches is the operator's cache.
	caches client.Reader
}

// start starts the operator as cmd/pipes-operator does, except for the clock.
func (w *world) start(change ...func(*pipestoken.Reconciler)) {
	GinkgoHelper()
	w.operator = w.startShard(sharding.Shard{}, change...)
}

// startShard starts an operator that is responsible for a part of all PipesTokens.
func (w *world) startShard(shard sharding.Shard, change ...func(*pipestoken.Reconciler)) *operator {
	GinkgoHelper()
	requests := &requests{}
	config := rest.CopyConfig(apiServer)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return requests.watch(next) })
	environments := controller.Options{SkipNameValidation: ptr.To(true)}
	if w.stepEnvironments {
		environments = w.timeline.options()
	}
	var events *controller.Options
	if w.followEvents {
		events = ptr.To(w.timeline.options())
	}
	running, err := harness.Operator{
		Config: config, Namespaces: []string{w.home, w.tenant}, Shard: shard, Change: change,
		Environment: types.NamespacedName{Namespace: w.home, Name: environmentID},
		WorkOS:      workos.Options{UserAgent: "pipes-operator/test", Clock: w.clock, Timeout: 5 * time.Second},
		Hosts:       []string{strings.TrimPrefix(w.baseURL, "http://")}, Insecure: true,
		Tokens: w.timeline.options(), Environments: environments, Events: events, Audit: &w.audit,
	}.Start(func(err error) {
		defer GinkgoRecover()
		Expect(err).NotTo(HaveOccurred())
	})
	Expect(err).NotTo(HaveOccurred())
	started := &operator{requests: requests, watchdog: running.Watchdog, caches: running.Caches,
		stop: sync.OnceFunc(func() {
			running.Stop()
			Expect(said.Gather(running.Metrics)).To(Succeed())
			w.audit.check()
		})}
	DeferCleanup(started.stop)
	return started
}

// restart stops the operator and starts another.
func (w *world) restart() {
	GinkgoHelper()
	w.operator.stop()
	w.start()
}

// requests notes the requests that an operator makes to the API server.
type requests struct {
	faults faults

	mu   sync.Mutex
	seen []string
}

// watch notes each request as "VERB resource", with the subresource if it has one: "PATCH
// pipestokens/status".
func (r *requests) watch(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		note := describe(request)
		if note != "" {
			r.mu.Lock()
			r.seen = append(r.seen, note)
			r.mu.Unlock()
		}
		if answer := r.faults.answer(request, note); answer != nil {
			return answer, nil
		}
		return next.RoundTrip(request)
	})
}

// Requests of an operator to the API server, as they are noted.
const (
	createSecret = "POST secrets"
	patchSecret  = "PATCH secrets"
	tryOut       = "PATCH secrets?dryRun"
	tryCreate    = "POST secrets?dryRun"
	listSecrets  = "LIST secrets"
	deleteSecret = "DELETE secrets"
	writeStatus  = "PATCH pipestokens/status"
	emitEvent    = "POST events"
)

// describe returns the note for a request. It is empty for watches, for discovery, and for the
// API key's Secret, which belongs to no PipesToken.
func describe(request *http.Request) string {
	_, path, ok := strings.Cut(request.URL.Path, "/namespaces/")
	if !ok || request.URL.Query().Get("watch") != "" {
		return ""
	}
	parts := strings.Split(path, "/")
	if len(parts) < 2 || len(parts) > 2 && parts[2] == apiKeySecret {
		return ""
	}
	verb, resource := request.Method, parts[1]
	if len(parts) > 3 {
		resource += "/" + parts[3]
	}
	if verb == http.MethodGet && len(parts) == 2 {
		verb = "LIST"
		if request.URL.Query().Get("limit") != "" || request.URL.Query().Get("resourceVersion") != "" {
			return "" // a list of an informer
		}
	}
	if request.URL.Query().Get("dryRun") != "" {
		resource += "?dryRun"
	}
	return verb + " " + resource
}

// since returns the requests after mark.
func (r *requests) since(mark int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.seen[mark:]...)
}

func (r *requests) count(note string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := 0
	for _, seen := range r.seen {
		if seen == note {
			count++
		}
	}
	return count
}

// waitForEvents waits until at least count events have been sent. Events are sent in the
// background.
func (r *requests) waitForEvents(count int) {
	GinkgoHelper()
	Eventually(func() int { return r.count(emitEvent) }, soon, often).Should(BeNumerically(">=", count))
}

func (r *requests) mark() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func withoutDefault(r *pipestoken.Reconciler) {
	r.DefaultEnvironment = types.NamespacedName{}
}
