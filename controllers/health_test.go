package controllers_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/controllers/pipestoken"
	"github.com/pipes-operator/pipes-operator/internal/workos"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// trouble returns the reason and the message of a condition that the environment has only while
// something is wrong; empty if it does not have the condition.
func (w *world) trouble(kind string) string {
	environment := w.environment()
	Expect(user.Get(w.ctx, client.ObjectKeyFromObject(environment), environment)).To(Succeed())
	told := meta.FindStatusCondition(environment.Status.Conditions, kind)
	if told == nil {
		return ""
	}
	kstatusOf(environment)
	return told.Reason + ": " + told.Message
}

var _ = Describe("An outage of WorkOS", func() {
	const users = 40
	var (
		w      *world
		tokens []*v1alpha1.PipesToken
	)
	BeforeEach(func() {
		w, tokens = newWorld(), nil
		w.stepEnvironments = true
		w.start()
		w.waitForEnvironment(v1alpha1.AvailableReason)
		for n := range users {
			tokens = append(tokens, w.synced(fmt.Sprintf("user-%d", n), alwaysFresh))
		}
		w.upstream.ResetRequests()
	})

	// held returns the tokens in the Secrets.
	held := func() (all []string) {
		for _, token := range tokens {
			all = append(all, w.tokenIn(token))
		}
		return all
	}

	for name, fault := range map[string]workossim.Fault{
		v1alpha1.UpstreamUnavailableReason: {Kind: workossim.FaultServerError},
		v1alpha1.RateLimitedReason:         {Kind: workossim.FaultRateLimited, RetryAfter: "20"},
	} {
		It("is found out by a few calls, and told once, on the PipesEnvironment: "+name, func() {
			before, statuses := held(), w.operator.requests.count(writeStatus)
			w.upstream.Inject(fault)
			w.timeline.advance(56 * time.Minute) // every renewal is overdue, and no token has expired
			Expect(w.trouble(v1alpha1.UpstreamFailingCondition)).To(HavePrefix(name + ": "))
			for _, token := range tokens {
				Expect(conditionsOf(w.reload(token))).To(ContainElement("Ready=True/TokenSynced"))
			}
			Expect(held()).To(Equal(before))
			// Renewals begin at 48 minutes. Until a fifth connection fails, the first four retry
			// on their own, two or three times each. Each of the four workers may then have a
			// call on its way. After that, one probe leaves every 20 or 30 seconds. Without the
			// circuit, 40 connections would make seven attempts each.
			const most = 5 + 4*3 + 4 + 1 + 8*60/20
			Expect(len(w.upstream.Requests())).To(BeNumerically("<=", most))
			Expect(w.operator.requests.count(writeStatus)-statuses).To(BeNumerically("<=", most), "one for each that has asked in vain")

			w.upstream.ClearFaults()
			// It takes half a minute until a probe succeeds, and up to a minute more until the
			// pace is restored.
			w.timeline.advance(3 * time.Minute)
			Expect(w.trouble(v1alpha1.UpstreamFailingCondition)).To(BeEmpty())
			for i, token := range tokens {
				Expect(conditionsOf(w.reload(token))).NotTo(ContainElement(HavePrefix("RenewalFailed")))
				Expect(w.tokenIn(token)).NotTo(Equal(before[i]), "renewed before it expired")
			}
		})
	}

	It("leaves no token expired ten seconds after its end", func() {
		w.timeline.advance(47 * time.Minute)
		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultServerError})
		w.timeline.advance(15 * time.Minute) // every token has expired
		for _, token := range tokens {
			Expect(conditionsOf(w.reload(token))).To(ContainElement("Ready=False/UpstreamUnavailable"))
		}
		w.upstream.ClearFaults()
		w.timeline.advance(10 * time.Second)
		for _, token := range tokens {
			w.waitForReason(token, v1alpha1.TokenSyncedReason)
		}
	})

	It("that WorkOS announces for long is told with its end", func() {
		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultRateLimited, RetryAfter: "1000000000", Times: 1})
		first, second := w.token("new-1"), w.token("new-2")
		w.connect(first)
		w.connect(second)
		w.settled(first, v1alpha1.RateLimitedReason)
		end := w.clock.Now().Add(time.Hour).Format(time.RFC3339)
		w.settled(second, v1alpha1.RateLimitedReason)
		w.timeline.settle()
		for _, token := range []*v1alpha1.PipesToken{first, second} {
			Expect(meta.FindStatusCondition(w.reload(token).Status.Conditions, v1alpha1.ReadyCondition).Message).To(ContainSubstring("not before " + end))
		}
		Expect(w.trouble(v1alpha1.UpstreamFailingCondition)).To(And(HavePrefix("RateLimited: "), ContainSubstring("until "+end)))
		mark := w.operator.requests.mark()
		w.timeline.advance(30 * time.Minute)
		Expect(w.operator.requests.since(mark)).To(BeEmpty(), "the same is not written again")
		Expect(w.trouble(v1alpha1.UpstreamFailingCondition)).To(ContainSubstring("until " + end))
	})

	It("is told by each PipesToken whose token has expired", func() {
		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultServerError})
		w.timeline.advance(62 * time.Minute)
		for _, token := range tokens {
			Expect(conditionsOf(w.reload(token))).To(ContainElement("Ready=False/UpstreamUnavailable"))
		}
	})
})

var _ = Describe("A call that takes long", func() {
	It("keeps nobody else from being worked on, and its answer is written once it comes", func() {
		w := newWorld()
		w.start(func(r *pipestoken.Reconciler) {
			r.Connections.Upstream = workos.New(workos.Options{Clock: w.clock, Patience: 10 * time.Millisecond})
		})
		w.waitForEnvironment(v1alpha1.AvailableReason)
		hold := make(chan struct{})
		var slow []*v1alpha1.PipesToken
		for n := range 3 * workers {
			token := w.token(fmt.Sprintf("slow-%d", n))
			id := w.connect(token)
			w.upstream.Inject(workossim.Fault{Kind: workossim.FaultLatency, Match: &id, Hold: hold})
			w.create(token)
			slow = append(slow, token)
		}
		w.timeline.settle()
		quick := w.token("quick")
		quick.Spec.Slug = "slack"
		w.connect(quick)
		w.create(quick)
		w.waitForReason(quick, v1alpha1.TokenSyncedReason)
		for _, token := range slow {
			Expect(conditionsOf(w.reload(token))).To(ContainElement("Ready=Unknown/Pending"))
		}
		close(hold)
		for _, token := range slow {
			w.waitForReason(token, v1alpha1.TokenSyncedReason)
			Expect(w.tokenIn(token)).To(Equal(w.held(token)))
			Expect(w.upstream.RequestsFor(idOf(token))).To(HaveLen(1))
		}
	})
})

var _ = Describe("A budget that does not suffice", func() {
	var w *world
	BeforeEach(func() {
		w = newWorld()
		w.stepEnvironments = true
		w.start()
		w.waitForEnvironment(v1alpha1.AvailableReason)
		for n := range 12 {
			w.synced(fmt.Sprintf("user-%d", n), func(c *workossim.Connection) { c.Lifetime = 10 * time.Minute })
		}
	})

	It("is told on the PipesEnvironment before tokens expire, with both rates, until it does", func() {
		allow := func(perMinute int32) {
			environment := w.environment()
			w.edit(environment, func() { environment.Spec.RequestsPerMinute = perMinute })
			w.waitForEnvironment(v1alpha1.AvailableReason)
		}
		w.timeline.advance(time.Minute)
		Expect(w.trouble(v1alpha1.BudgetTooSmallCondition)).To(BeEmpty())

		allow(1)
		Expect(w.trouble(v1alpha1.BudgetTooSmallCondition)).To(MatchRegexp(
			`^RenewalsExceedBudget: Renewals need about \d requests a minute, and this API key may make 1, so that tokens will expire`))
		allow(2)
		Expect(w.trouble(v1alpha1.BudgetTooSmallCondition)).To(ContainSubstring("may make 2,"), "at once")
		allow(100)
		w.timeline.advance(2 * time.Minute)
		Expect(w.trouble(v1alpha1.BudgetTooSmallCondition)).To(BeEmpty())
	})

	It("is said to suffice only by a process that has looked", func() {
		environment := w.environment()
		w.edit(environment, func() { environment.Spec.RequestsPerMinute = 1 })
		w.waitForEnvironment(v1alpha1.AvailableReason)
		told := w.trouble(v1alpha1.BudgetTooSmallCondition)
		Expect(told).NotTo(BeEmpty())
		w.restart()
		waitForTimers(w, environment)
		w.timeline.advance(2 * time.Minute)
		Expect(w.trouble(v1alpha1.BudgetTooSmallCondition)).To(Equal(told))
		Expect(w.operator.requests.count("PATCH pipesenvironments/status")).To(BeZero())
	})
})
