//go:build reliability

package faults_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

const (
	// soon is long enough for an overdue renewal at the start of a process, even if two such
	// renewals run one after the other.
	soon  = 45 * time.Second
	often = 20 * time.Millisecond
)

// lane is one replica with two namespaces of its own: one for the PipesTokens, and one for their
// PipesEnvironments.
type lane struct {
	*site
	replica *replica
	// workos is the wire to WorkOS.
	workos    *wire
	namespace string
	owner     string
	scenes    atomic.Int64
}

func (s *site) newLane(t *testing.T, name string, flags ...string) *lane {
	t.Helper()
	l := &lane{site: s, namespace: name, owner: name + "-owner", workos: layWire(t, name+" to WorkOS", s.upstream.address)}
	g := NewWithT(t)
	g.Expect(s.plane.CreateNamespaces(t.Context(), l.namespace, l.owner)).To(Succeed())
	g.Expect(s.plane.AllowAPIKeys(t.Context(), l.owner)).To(Succeed())
	g.Expect(s.plane.root.Create(context.Background(), keySecretIn(l.owner))).To(Succeed())
	for _, namespace := range []string{l.namespace, l.owner} {
		s.bringStranger(t, namespace, "a-strangers")
	}
	l.replica = l.another(t, name, flags...)
	return l
}

// another returns one more replica for the lane.
func (l *lane) another(t *testing.T, name string, flags ...string) *replica {
	t.Helper()
	return l.newReplica(t, name, l.workos, append([]string{"--watch-namespaces=" + l.namespace + "," + l.owner}, flags...)...)
}

// scene is one PipesToken with its own PipesEnvironment and connection.
type scene struct {
	*lane
	t           *testing.T
	g           *WithT
	ctx         context.Context
	connection  workossim.Connection
	environment *v1alpha1.PipesEnvironment
	token       *v1alpha1.PipesToken
	// about and aboutEnvironment are the namespace/name of the PipesToken and of the
	// PipesEnvironment.
	about, aboutEnvironment string
	// serial is the serial of the token that was in the Secret when the scene began.
	serial int
}

// newScene creates the PipesEnvironment and the connection, and waits until the environment is
// ready. It does not create the PipesToken.
func (l *lane) newScene(t *testing.T, change func(*workossim.Connection, *v1alpha1.PipesTokenSpec)) *scene {
	t.Helper()
	name := fmt.Sprintf("%s-%d", l.namespace, l.scenes.Add(1))
	s := &scene{lane: l, t: t, g: NewWithT(t), ctx: context.Background(), about: l.namespace + "/" + name, aboutEnvironment: l.owner + "/" + name}
	s.environment = pipesEnvironment(l.workos, l.owner, name, l.namespace)
	s.token = &v1alpha1.PipesToken{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: name}}
	s.token.Spec = v1alpha1.PipesTokenSpec{
		Slug: "github", UserID: "user_" + name, EnvironmentRef: &v1alpha1.EnvironmentReference{Name: name, Namespace: l.owner},
	}
	s.connection = workossim.Connection{ID: harness.IDOf(s.token), AlwaysFresh: true, Scopes: []string{"repo"}}
	if change != nil {
		change(&s.connection, &s.token.Spec)
		s.connection.ID = harness.IDOf(s.token)
	}
	s.upstream.Put(s.connection)
	s.g.Expect(l.plane.root.Create(s.ctx, s.environment)).To(Succeed())
	s.eventually(func(g Gomega) {
		g.Expect(l.plane.root.Get(s.ctx, client.ObjectKeyFromObject(s.environment), s.environment)).To(Succeed())
		g.Expect(meta.IsStatusConditionTrue(s.environment.Status.Conditions, v1alpha1.ReadyCondition)).To(BeTrue())
		g.Expect(s.eventsAbout(s.aboutEnvironment)).To(HaveLen(1), "the event comes last")
	})
	return s
}

// end deletes the objects of the scene, so that a later start of the replica does not find them.
func (s *scene) end() {
	root := s.plane.root
	for _, object := range []client.Object{s.token, s.environment, s.secret()} {
		s.g.Expect(client.IgnoreNotFound(root.Delete(s.ctx, object))).To(Succeed())
	}
	s.upstream.Remove(s.connection.ID)
}

func (s *scene) eventually(condition func(Gomega)) {
	s.t.Helper()
	s.g.Eventually(condition, soon, often).Should(Succeed())
}

func (s *scene) create() { s.g.Expect(s.plane.root.Create(s.ctx, s.token)).To(Succeed()) }

// synced creates the PipesToken, and waits until its Secret contains a token, and status and
// event are written.
func (s *scene) synced() {
	s.t.Helper()
	s.create()
	s.becomes(v1alpha1.TokenSyncedReason)
	s.serial = serialIn(s.connection, s.readSecret(s.g))
}

// rests waits until the operator may ask for the connection again. A request before that time would
// wait for it.
func (s *scene) rests() {
	s.t.Helper()
	s.eventually(func(g Gomega) {
		calls := s.upstream.RequestsFor(s.connection.ID)
		g.Expect(calls).NotTo(BeEmpty())
		g.Expect(time.Since(calls[len(calls)-1].Time)).To(BeNumerically(">", workos.MinInterval))
	})
}

// becomes waits until Ready has a reason, and the event about that has been stored.
func (s *scene) becomes(reason string) {
	s.t.Helper()
	s.eventually(func(g Gomega) {
		s.reload(g)
		ready := harness.ReadyOf(s.token)
		g.Expect(ready.Reason).To(Equal(reason))
		g.Expect(ready.ObservedGeneration).To(Equal(s.token.Generation))
		g.Expect(s.eventsAbout(s.about)).To(ContainElement(HaveField("Reason", reason)))
	})
}

// recreate deletes the PipesToken, calls meanwhile, and prepares a new PipesToken without
// creating it. The Secret stays, because no garbage collector runs in this test. The replica is
// stopped during this, so that it cannot react to an intermediate state.
func (s *scene) recreate(meanwhile func()) {
	s.t.Helper()
	s.replica.kill()
	s.g.Expect(s.plane.root.Delete(s.ctx, s.token)).To(Succeed())
	s.token = &v1alpha1.PipesToken{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.token.Namespace, Name: s.token.Name}, Spec: s.token.Spec,
	}
	meanwhile()
	s.replica.mustStart(s.t)
}

func (s *scene) reload(g Gomega) {
	g.Expect(s.plane.root.Get(s.ctx, client.ObjectKeyFromObject(s.token), s.token)).To(Succeed())
}

func (s *scene) eventsAbout(name string) []*corev1.Event {
	var events []*corev1.Event
	for _, v := range s.history.of(s.t, eventKind, "") {
		if v.event != nil && v.event.InvolvedObject.Namespace+"/"+v.event.InvolvedObject.Name == name {
			events = append(events, v.event)
		}
	}
	return events
}

// secret returns the Secret of the PipesToken with only its name.
func (s *scene) secret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.token.TargetSecretName()}}
}

// readSecret returns the stored Secret, or nil if it does not exist.
func (s *scene) readSecret(g Gomega) *corev1.Secret {
	secret := s.secret()
	err := s.plane.root.Get(s.ctx, client.ObjectKeyFromObject(secret), secret)
	if client.IgnoreNotFound(err) == nil && err != nil {
		return nil
	}
	g.Expect(err).NotTo(HaveOccurred())
	return secret
}

// edit changes an object as kubectl edit does.
func (s *scene) edit(object client.Object, change func()) {
	s.t.Helper()
	s.eventually(func(g Gomega) {
		g.Expect(s.plane.root.Get(s.ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
		change()
		g.Expect(s.plane.root.Update(s.ctx, object)).To(Succeed())
	})
}

// requestRefresh requests a fetch at once.
func (s *scene) requestRefresh() {
	s.t.Helper()
	s.edit(s.token, func() {
		metav1.SetMetaDataAnnotation(&s.token.ObjectMeta, v1alpha1.RefreshRequestedAtAnnotation, time.Now().Format(time.RFC3339Nano))
	})
}

// serialIn is the serial of the connection's token in a Secret. It is 0 if the Secret holds no
// token of the connection.
func serialIn(c workossim.Connection, secret *corev1.Secret) int {
	if secret == nil {
		return 0
	}
	for _, value := range secret.Data {
		if serial := serialOf(c.ID, string(value)); serial > 0 {
			return serial
		}
	}
	return 0
}

// expiryOf is the expiry annotation of a Secret.
func expiryOf(secret *corev1.Secret) string {
	return secret.Annotations[tokensecret.ExpiresAtAnnotation]
}
