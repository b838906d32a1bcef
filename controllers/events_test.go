package controllers_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/eventfeed"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// following returns a new world whose operator follows events.
func following() *world {
	GinkgoHelper()
	w := newWorld()
	w.followEvents = true
	w.start()
	w.waitForEnvironment(v1alpha1.AvailableReason)
	w.waitForFollowed(v1alpha1.EventsReceivedReason)
	return w
}

// waitForFollowed waits until EventsFollowed of the environment has the reason.
func (w *world) waitForFollowed(reason string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		followed := w.followed(g)
		g.Expect(followed).NotTo(BeNil())
		g.Expect(followed.Reason).To(Equal(reason), followed.Message)
	}, soon, often).Should(Succeed())
	w.timeline.settle()
}

func (w *world) followed(g Gomega) *metav1.Condition {
	environment := &v1alpha1.PipesEnvironment{}
	g.Expect(user.Get(w.ctx, types.NamespacedName{Namespace: w.home, Name: environmentID}, environment)).To(Succeed())
	return meta.FindStatusCondition(environment.Status.Conditions, v1alpha1.EventsFollowedCondition)
}

// startPolling starts an operator again, and waits until it has asked for events.
func (w *world) startPolling() {
	GinkgoHelper()
	polls := len(w.upstream.EventRequests())
	w.start()
	Eventually(func() int { return len(w.upstream.EventRequests()) }, soon, often).Should(BeNumerically(">", polls))
	w.timeline.settle()
}

// missing creates a PipesToken whose user has not connected.
func (w *world) missing(name string) *v1alpha1.PipesToken {
	GinkgoHelper()
	token := w.token(name)
	w.settled(token, v1alpha1.NotInstalledReason)
	return token
}

// asked counts the calls for the connection of a PipesToken.
func (w *world) asked(token *v1alpha1.PipesToken) int {
	return len(w.upstream.RequestsFor(idOf(token)))
}

const poll = eventfeed.DefaultInterval

var _ = Describe("Events of WorkOS", func() {
	It("bring a token to a user who connects, within one poll and by one call", func() {
		w := following()
		token := w.missing("alice")
		w.timeline.advance(poll)
		Expect(w.asked(token)).To(Equal(1))
		w.connect(token)
		w.timeline.advance(poll)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(w.asked(token)).To(Equal(2))
		Expect(w.tokenIn(token)).To(Equal(w.held(token)))
	})

	It("take the token of a user who disconnects, within one poll", func() {
		w := following()
		token := w.rested("alice")
		w.upstream.SetState(idOf(token), workossim.NotInstalled)
		w.timeline.advance(poll)
		w.waitForReason(token, v1alpha1.NotInstalledReason)
		Expect(w.secret(token).Data).To(BeEmpty())
		Expect(w.asked(token)).To(Equal(2))
	})

	It("make the slow polls rare, until they are no longer followed", func() {
		w := following()
		token := w.missing("alice")
		w.timeline.advance(30 * time.Minute)
		Expect(w.asked(token)).To(Equal(1))
		w.timeline.advance(62 * time.Minute)
		asked := w.asked(token)
		Expect(asked).To(BeNumerically("~", 2, 1), "a lost event is noticed after an hour")

		w.upstream.ForbidEvents(true)
		w.timeline.advance(poll)
		w.waitForFollowed(v1alpha1.EventsRefusedReason)
		w.timeline.advance(10 * time.Minute)
		Expect(w.asked(token)).To(BeNumerically(">", asked), "slow polls come again")
		asked = w.asked(token)
		polls := len(w.upstream.EventRequests())
		w.timeline.advance(20 * time.Minute)
		Expect(len(w.upstream.EventRequests())-polls).To(Equal(2), "one request in ten minutes")
		Expect(w.asked(token)).To(BeNumerically(">", asked))

		w.upstream.ForbidEvents(false)
		w.timeline.advance(10 * time.Minute)
		w.waitForFollowed(v1alpha1.EventsReceivedReason)
	})

	It("that are lost are made up for by the slow poll", func() {
		w := following()
		token := w.missing("alice")
		w.upstream.LoseEvents(1)
		w.connect(token)
		w.timeline.advance(92 * time.Minute)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
	})

	It("leave a refresh its turn, for a user who connects in the seconds after a call", func() {
		w := following()
		token := w.missing("alice")
		w.connect(token)
		w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"} })
		w.timeline.advance(6 * time.Second)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(w.asked(token)).To(Equal(2))
	})

	It("change nothing by themselves", func() {
		w := following()
		token := w.rested("alice")
		before, status := w.secret(token), w.reload(token).Status
		others := []workossim.ID{{Slug: "github", UserID: "nobody"}, {Slug: "slack", UserID: "alice", OrganizationID: "org_1"},
			{Slug: "github", UserID: "alice"}, {Slug: "github", OrganizationID: "org_1", Owner: workossim.OwnerOrganization}}
		for i := range 100 {
			for _, kind := range workossim.EventTypes(workossim.FamilyConnectedAccount, workossim.FamilyAccountConnection) {
				at := w.clock.Now().Add(time.Duration(i-50) * time.Hour)
				w.upstream.Emit(workossim.Event{Type: kind, Connection: idOf(token), CreatedAt: at})
				w.upstream.Emit(workossim.Event{Type: kind, Connection: others[i%len(others)], CreatedAt: at})
			}
		}
		calls := w.asked(token)
		// 18 pages come, with the least time between two calls longer than all of them.
		w.timeline.advance(poll)
		Expect(w.asked(token)-calls).To(BeNumerically("<=", 2), "one for the first page, and one for those that came meanwhile")
		Expect(w.secret(token)).To(Equal(before))
		Expect(w.reload(token).Status).To(Equal(status))
	})

	It("of ten thousand others after a long stop are read in one go", func() {
		w := following()
		token := w.missing("alice")
		w.operator.stop()
		for i := range 10_000 {
			w.upstream.Emit(workossim.Event{Type: workossim.EventConnected, Connection: workossim.ID{Slug: "github", UserID: fmt.Sprint("user-", i)}})
		}
		w.connect(token)
		w.clock.Step(time.Minute)
		w.startPolling()
		w.timeline.advance(poll)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(len(w.upstream.EventRequests())).To(BeNumerically("<", 150))
	})

	It("cost no call for a valid token after a restart, and none is missed", func() {
		w := following()
		kept, lost := w.token("alice"), w.token("bob")
		w.connect(kept)
		w.connect(lost)
		w.timeline.advance(time.Second)
		w.settled(kept, v1alpha1.TokenSyncedReason)
		w.settled(lost, v1alpha1.TokenSyncedReason)
		w.timeline.advance(poll)
		w.operator.stop()
		w.clock.Step(time.Minute)
		w.upstream.SetState(idOf(lost), workossim.NeedsReauthorization)
		w.clock.Step(time.Minute)
		w.upstream.ResetRequests()
		w.startPolling()
		w.timeline.advance(poll)
		w.waitForReason(lost, v1alpha1.NeedsReauthorizationReason)
		Expect(w.asked(kept)).To(BeZero())
		Expect(w.asked(lost)).To(Equal(1))
	})

	It("are followed at an environment that does not know the newer types", func() {
		w := newWorld()
		w.upstream.KnowEventFamilies(workossim.FamilyConnectedAccount)
		w.followEvents = true
		w.start()
		w.waitForEnvironment(v1alpha1.AvailableReason)
		token := w.missing("alice")
		w.timeline.advance(poll)
		w.waitForFollowed(v1alpha1.EventsReceivedReason)
		w.connect(token)
		w.timeline.advance(poll)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
	})

	It("are followed although WorkOS has forgotten the last one", func() {
		w := following()
		token := w.missing("alice")
		w.upstream.Emit(workossim.Event{Type: workossim.EventConnected, Connection: workossim.ID{Slug: "github", UserID: "nobody"}})
		w.timeline.advance(poll)
		w.upstream.ForgetEvents()
		w.connect(token)
		w.timeline.advance(2 * poll)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		w.waitForFollowed(v1alpha1.EventsReceivedReason)
	})

	It("concern the members of the organization that they name", func() {
		w := following()
		token := w.token("alice")
		token.Namespace = w.home
		token.Spec.ConnectionOwner = v1alpha1.ConnectionOwnerOrganization
		w.upstream.SetMembers("org_1", "alice")
		w.settled(token, v1alpha1.NotInstalledReason)
		w.connect(token)
		w.timeline.advance(poll)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(w.asked(token)).To(Equal(2))
	})

	It("are not asked for when they are disabled", func() {
		w := following()
		environment := w.environment()
		w.edit(environment, func() { environment.Spec.Events = &v1alpha1.Events{Disabled: true} })
		w.waitForEnvironment(v1alpha1.AvailableReason)
		polls := len(w.upstream.EventRequests())
		w.timeline.advance(time.Hour)
		Expect(w.upstream.EventRequests()).To(HaveLen(polls))
		Eventually(func(g Gomega) { g.Expect(w.followed(g)).To(BeNil()) }, soon, often).Should(Succeed())
	})

	It("are asked for within the requests per minute", func() {
		w := following()
		environment := w.environment()
		w.edit(environment, func() { environment.Spec.RequestsPerMinute = 2 })
		w.waitForEnvironment(v1alpha1.AvailableReason)
		w.timeline.advance(poll)
		polls := len(w.upstream.EventRequests())
		w.timeline.advance(20 * time.Minute)
		Expect(len(w.upstream.EventRequests()) - polls).To(BeNumerically("~", 10, 1))
	})
})
