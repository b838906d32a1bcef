package controllers_test

import (
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

var _ = Describe("A Secret of that name", func() {
	var w *world
	BeforeEach(func() { w = running() })

	It("that is somebody else's is never touched, and its removal is noticed", func() {
		foreign := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "alice", Namespace: w.tenant, Labels: map[string]string{"app": "x"}},
			Data:       map[string][]byte{"password": []byte("theirs")},
		}
		w.create(foreign)
		token := w.token("alice")
		id := w.connect(token)
		w.settled(token, v1alpha1.SecretConflictReason)
		Expect(conditionsOf(token)).To(ContainElements("Ready=False/SecretConflict", "Stalled=True/SecretConflict"))
		Expect(kstatusOf(token)).To(Equal(status.FailedStatus))
		Expect(token.Status.Binding).To(BeNil())

		By("looking now and then, without asking WorkOS")
		calls := len(w.upstream.RequestsFor(id))
		w.timeline.advance(time.Hour)
		Expect(w.upstream.RequestsFor(id)).To(HaveLen(calls))
		Expect(w.secret(token)).To(Equal(foreign), "byte for byte, metadata included")

		By("going on once the Secret is gone")
		Expect(user.Delete(w.ctx, foreign)).To(Succeed())
		w.timeline.advance(10 * time.Minute)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(w.tokenIn(token)).To(Equal(w.held(token)))
	})

	It("is kept by the first of two PipesTokens that name it", func() {
		first, second := w.token("first"), w.token("second")
		first.Spec.SecretName, second.Spec.SecretName = "shared", "shared"
		w.connect(first)
		w.connect(second)
		w.settled(first, v1alpha1.TokenSyncedReason)
		w.settled(second, v1alpha1.SecretConflictReason)
		Expect(w.upstream.RequestsFor(idOf(second))).To(BeEmpty(), "that the name is taken can be seen without asking")
		before := w.secret(first)
		mark := w.operator.requests.mark()
		w.timeline.advance(20 * time.Minute)
		Expect(w.secret(first)).To(Equal(before))
		Expect(w.operator.requests.since(mark)).NotTo(ContainElements(patchSecret, writeStatus), "ping-pong")

		By("passing on when the first goes, and garbage collection has deleted its Secret")
		w.waitForPass(first, func() { Expect(user.Delete(w.ctx, first)).To(Succeed()) })
		Expect(user.Delete(w.ctx, before)).To(Succeed())
		w.waitForReason(second, v1alpha1.TokenSyncedReason)
		Expect(w.tokenIn(second)).To(Equal(w.held(second)))
	})

	It("that was orphaned is taken over by a PipesToken of the same name", func() {
		token := w.rested("alice")
		uid := w.secret(token).UID
		secret := w.secret(token)
		w.waitForPass(token, func() { Expect(user.Delete(w.ctx, token)).To(Succeed()) })
		w.edit(secret, func() { secret.OwnerReferences = nil })
		again := w.token("alice")
		w.create(again)
		w.waitForReason(again, v1alpha1.TokenSyncedReason)
		Expect(w.secret(again).UID).To(Equal(uid))
		Expect(metav1.IsControlledBy(w.secret(again), again)).To(BeTrue())
	})

	It("that belongs to a PipesToken which was deleted and created anew waits for garbage collection", func() {
		token := w.rested("alice")
		old := w.secret(token)
		w.waitForPass(token, func() { Expect(user.Delete(w.ctx, token)).To(Succeed()) })
		again := w.token("alice")
		w.settled(again, v1alpha1.SecretConflictReason)
		Expect(w.secret(again)).To(Equal(old))
		Expect(user.Delete(w.ctx, old)).To(Succeed())
		w.waitForReason(again, v1alpha1.TokenSyncedReason)
	})

	It("that forges our labels and another controller is left alone", func() {
		forged := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
			Name: "alice", Namespace: w.tenant,
			Labels:          map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue, v1alpha1.TokenLabel: "alice"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "x", Controller: ptr.To(true)}},
		}}
		w.create(forged)
		token := w.token("alice")
		w.connect(token)
		w.settled(token, v1alpha1.SecretConflictReason)
		Expect(w.secret(token)).To(Equal(forged))
	})

	It("that the API server will not have changed is told, and its token kept", func() {
		token := w.synced("alice", alwaysFresh)
		secret := w.secret(token)
		w.waitForPass(token, func() { w.edit(secret, func() { secret.Immutable = ptr.To(true) }) })
		before := w.secret(token)
		w.timeline.advance(token.Status.RenewalTime.Sub(w.clock.Now()) + time.Second)
		Eventually(func() []string { return conditionsOf(w.reload(token)) }, soon, often).Should(
			ContainElements("Ready=True/TokenSynced", "RenewalFailed=True/SecretRejected"))
		Expect(w.secret(token)).To(Equal(before))
		w.timeline.advance(time.Hour)
		w.waitForReason(token, v1alpha1.SecretRejectedReason)
		Expect(kstatusOf(token)).To(Equal(status.FailedStatus))
		Expect(user.Delete(w.ctx, before)).To(Succeed())
		w.timeline.advance(10 * time.Minute)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
	})
})

var _ = Describe("A template", func() {
	var w *world
	BeforeEach(func() { w = running() })

	It("that is broken is told, leaves the Secret as it is, and works once mended", func() {
		token := w.synced("alice")
		before := w.secret(token)
		w.edit(token, func() {
			token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataTemplate{"x": "{{ range .Scopes }}{{ . }}{{ end }}"}}
		})
		w.waitForReason(token, v1alpha1.InvalidTemplateReason)
		Expect(conditionsOf(token)).To(ContainElements("Ready=False/InvalidTemplate", "Stalled=True/InvalidTemplate"))
		Expect(kstatusOf(token)).To(Equal(status.FailedStatus))
		Expect(w.secret(token)).To(Equal(before))
		calls := len(w.upstream.Requests())
		w.edit(token, func() { token.Spec.SecretTemplate = nil })
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(w.upstream.Requests()).To(HaveLen(calls), "the Secret already held what it should")
	})
})

var _ = Describe("Suspension", func() {
	It("makes no calls, keeps the Secret, and says so once the token has expired", func() {
		w := running()
		token := w.synced("alice")
		before := w.secret(token)
		calls := len(w.upstream.Requests())
		w.edit(token, func() { token.Spec.Suspend = true })
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		w.timeline.advance(time.Hour)
		w.waitForReason(token, v1alpha1.SuspendedReason)
		w.timeline.advance(24 * time.Hour)
		Expect(w.secret(token)).To(Equal(before))
		Expect(w.upstream.Requests()).To(HaveLen(calls))
		w.edit(token, func() { token.Spec.Suspend = false })
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
	})
})

var _ = Describe("The PipesEnvironment", func() {
	var w *world
	BeforeEach(func() { w = running() })

	keySecret := func() *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: apiKeySecret, Namespace: w.home}}
	}

	// breakage is one way to make the environment unusable: breaks causes it, and mends fixes it.
	type breakage struct {
		reason, says  string
		breaks, mends func()
	}
	breakages := map[string]func() breakage{
		"is missing": func() breakage {
			return breakage{
				reason: v1alpha1.EnvironmentNotFoundReason,
				breaks: func() {
					environment := w.environment()
					Expect(user.Delete(w.ctx, environment)).To(Succeed())
					Eventually(func() bool {
						return apierrors.IsNotFound(w.operator.caches.Get(w.ctx, client.ObjectKeyFromObject(environment), environment))
					}, soon, often).Should(BeTrue())
				},
				mends: func() { w.create(w.environment()) },
			}
		},
		"has lost its key Secret": func() breakage {
			return breakage{
				reason: v1alpha1.EnvironmentNotReadyReason, says: v1alpha1.APIKeyNotFoundReason,
				breaks: func() { Expect(user.Delete(w.ctx, keySecret())).To(Succeed()) },
				mends: func() {
					secret := keySecret()
					secret.StringData = map[string]string{apiKeyEntry: apiKey}
					w.create(secret)
				},
			}
		},
		"has lost its key entry": func() breakage {
			return breakage{
				reason: v1alpha1.EnvironmentNotReadyReason, says: v1alpha1.APIKeyNotFoundReason,
				breaks: func() {
					secret := keySecret()
					w.edit(secret, func() { secret.Data = map[string][]byte{"other": {'x'}} })
				},
				mends: func() {
					secret := keySecret()
					w.edit(secret, func() { secret.Data = map[string][]byte{apiKeyEntry: []byte(apiKey + "\n")} })
				},
			}
		},
		"has a key that cannot be one": func() breakage {
			return breakage{
				reason: v1alpha1.EnvironmentNotReadyReason, says: v1alpha1.APIKeyInvalidReason,
				breaks: func() {
					secret := keySecret()
					w.edit(secret, func() { secret.Data[apiKeyEntry] = []byte("sk canary") })
				},
				mends: func() { secret := keySecret(); w.edit(secret, func() { secret.Data[apiKeyEntry] = []byte(apiKey) }) },
			}
		},
		"has a key that WorkOS refuses": func() breakage {
			return breakage{
				reason: v1alpha1.EnvironmentNotReadyReason, says: v1alpha1.APIKeyRejectedReason,
				breaks: func() { w.upstream.SetAPIKeys("sk_other") },
				mends: func() {
					w.upstream.SetAPIKeys("sk_test_canary_key_2")
					secret := keySecret()
					w.edit(secret, func() { secret.Data[apiKeyEntry] = []byte("sk_test_canary_key_2") })
				},
			}
		},
		"points elsewhere": func() breakage {
			return breakage{
				reason: v1alpha1.EnvironmentNotReadyReason, says: v1alpha1.UpstreamNotAllowedReason,
				breaks: func() { e := w.environment(); w.edit(e, func() { e.Spec.BaseURL = "http://169.254.169.254" }) },
				mends:  func() { e := w.environment(); w.edit(e, func() { e.Spec.BaseURL = w.baseURL }) },
			}
		},
	}

	// checkKey makes the operator read the key again, as it does every 30 seconds, without that
	// wait.
	checkKey := func() {
		environment := w.environment()
		if err := user.Get(w.ctx, client.ObjectKeyFromObject(environment), environment); err == nil {
			w.edit(environment, func() { environment.Spec.RequestsPerMinute-- })
		}
	}

	// breakIt waits until the operator has noticed the breakage. It does not wait for a rejected
	// key, because only a call shows the rejection.
	breakIt := func(broken breakage) {
		broken.breaks()
		checkKey()
		if broken.says != "" && broken.says != v1alpha1.APIKeyRejectedReason {
			w.waitForEnvironment(broken.says)
		}
	}

	for name, build := range breakages {
		It("that "+name+" is told while there is no token, and forgiven", func() {
			broken := build()
			breakIt(broken)
			token := w.token("alice")
			w.connect(token)
			w.settled(token, broken.reason)
			Expect(conditionsOf(token)).To(ContainElements("Ready=False/"+broken.reason, "Reconciling=True/"+broken.reason))
			Expect(kstatusOf(token)).To(Equal(status.InProgressStatus))
			Expect(w.secret(token)).To(BeNil())
			if broken.says != "" {
				w.waitForEnvironment(broken.says)
			}
			broken.mends()
			checkKey()
			w.waitForEnvironment(v1alpha1.AvailableReason)
			w.timeline.advance(30 * time.Second)
			w.waitForReason(token, v1alpha1.TokenSyncedReason)
		})

		It("that "+name+" never harms a valid token", func() {
			broken := build()
			token := w.synced("alice")
			before := w.secret(token)
			breakIt(broken)
			w.timeline.advance(token.Status.RenewalTime.Sub(w.clock.Now()) + time.Second)
			Eventually(func() []string { return conditionsOf(w.reload(token)) }, soon, often).Should(
				ContainElements("Ready=True/TokenSynced", "RenewalFailed=True/"+broken.reason))
			Expect(kstatusOf(token)).To(Equal(status.CurrentStatus))
			w.timeline.advance(token.Status.ExpirationTime.Sub(w.clock.Now()))
			w.waitForReason(token, broken.reason)
			Expect(w.secret(token)).To(Equal(before))
			broken.mends()
			checkKey()
			w.waitForEnvironment(v1alpha1.AvailableReason)
			w.timeline.advance(10 * time.Minute)
			w.waitForReason(token, v1alpha1.TokenSyncedReason)
		})
	}

	It("with a dead key is asked for one user in thirty seconds, however many there are", func() {
		w.upstream.SetAPIKeys("sk_other")
		var tokens []*v1alpha1.PipesToken
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			token := w.token(name)
			w.connect(token)
			w.create(token)
			tokens = append(tokens, token)
		}
		for _, token := range tokens {
			w.waitForReason(token, v1alpha1.EnvironmentNotReadyReason)
		}
		w.waitForEnvironment(v1alpha1.APIKeyRejectedReason)
		Expect(len(w.upstream.Requests())).To(BeNumerically("<=", 4), "one for each worker that asked at the same time")
	})

	It("has a rotated key in use within a minute, without a restart", func() {
		w.operator.stop()
		w.stepEnvironments = true
		w.start()
		token := w.synced("alice", alwaysFresh)
		w.upstream.SetAPIKeys("sk_test_canary_rotated")
		secret := keySecret()
		w.edit(secret, func() { secret.Data[apiKeyEntry] = []byte("sk_test_canary_rotated") })
		w.timeline.advance(time.Minute)
		w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"} })
		Eventually(func() string { return w.reload(token).Status.LastHandledRefreshRequest }, soon, often).Should(Equal("now"))
		requests := w.upstream.RequestsFor(idOf(token))
		Expect(requests[len(requests)-1].Key).To(Equal(workossim.Fingerprint("sk_test_canary_rotated")))
		Expect(requests[len(requests)-1].Status).To(Equal(http.StatusOK))
		w.waitForEnvironment(v1alpha1.AvailableReason)
	})

	It("has a rotated key in use at once when WorkOS refuses the one before", func() {
		token := w.rested("alice", alwaysFresh)
		version := w.environment().ResourceVersion
		secret := keySecret()
		w.edit(secret, func() { secret.Data[apiKeyEntry] = []byte("sk_test_canary_rotated") })
		w.upstream.SetAPIKeys("sk_test_canary_rotated")
		w.upstream.ResetRequests()
		w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"} })
		Eventually(func() []int {
			var answers []int
			for _, call := range w.upstream.RequestsFor(idOf(token)) {
				answers = append(answers, call.Status)
			}
			return answers
		}, soon, often).Should(Equal([]int{http.StatusUnauthorized, http.StatusOK}), "long before its slow poll")
		w.timeline.settle()
		Expect(conditionsOf(w.reload(token))).NotTo(ContainElement(HavePrefix("RenewalFailed")))
		Expect(w.environment().ResourceVersion).To(Equal(version), "nobody had to be told")
	})

	It("keeps saying after a restart that its key was refused, until WorkOS accepts one", func() {
		token := w.token("alice")
		w.connect(token)
		w.upstream.SetAPIKeys("sk_other")
		w.settled(token, v1alpha1.EnvironmentNotReadyReason)
		w.waitForEnvironment(v1alpha1.APIKeyRejectedReason)
		w.restart()
		waitForTimers(w, token)
		w.waitForEnvironment(v1alpha1.APIKeyRejectedReason)
		w.upstream.SetAPIKeys(apiKey)
		w.timeline.advance(time.Minute)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		w.waitForEnvironment(v1alpha1.AvailableReason)
	})

	It("in a namespace that the operator does not watch is told to be out of sight", func() {
		token := w.token("alice")
		token.Spec.EnvironmentRef = &v1alpha1.EnvironmentReference{Name: environmentID, Namespace: "default"}
		w.connect(token)
		w.settled(token, v1alpha1.EnvironmentNotFoundReason)
		Expect(token.Status.Conditions[0].Message).To(ContainSubstring("does not watch"))
	})

	It("that nobody names and nobody has set as the default is told", func() {
		w.operator.stop()
		w.start(withoutDefault)
		token := w.token("alice")
		w.create(token)
		w.waitForReason(token, v1alpha1.EnvironmentNotFoundReason)
	})

	It("can be named, and is in the PipesToken's namespace unless said otherwise", func() {
		token := w.token("alice")
		token.Spec.EnvironmentRef = &v1alpha1.EnvironmentReference{Name: environmentID}
		w.connect(token)
		w.settled(token, v1alpha1.EnvironmentNotFoundReason)
		named := w.token("bob")
		named.Spec.EnvironmentRef = &v1alpha1.EnvironmentReference{Name: environmentID, Namespace: w.home}
		w.connect(named)
		w.settled(named, v1alpha1.TokenSyncedReason)
	})

	It("says which grant cannot be read", func() {
		environment := w.environment()
		w.edit(environment, func() {
			environment.Spec.Grants = []v1alpha1.Grant{anythingFor(v1alpha1.GrantNamespaces{Selector: &metav1.LabelSelector{
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: "Likes", Values: []string{"a"}}},
			}})}
		})
		Eventually(func() string {
			Expect(user.Get(w.ctx, client.ObjectKeyFromObject(environment), environment)).To(Succeed())
			for _, c := range environment.Status.Conditions {
				if c.Type == v1alpha1.GrantsValidCondition && c.Status == metav1.ConditionFalse {
					return c.Message
				}
			}
			return ""
		}, soon, often).Should(ContainSubstring("spec.grants[0].namespaces.selector"))
	})
})

var _ = Describe("Two replicas at once", func() {
	It("never replace a token by one that was asked for earlier", func() {
		w := newWorld()
		token := w.token("alice")
		w.connect(token, alwaysFresh)
		w.create(token)

		By("holding back the answer to the first")
		release := make(chan struct{})
		w.upstream.Inject(workossim.Fault{Kind: workossim.FaultLatency, Hold: release, Times: 1})
		w.start()
		slow := w.timeline
		Eventually(func() []workossim.Request { return w.upstream.RequestsFor(idOf(token)) }, soon, often).Should(HaveLen(1))

		By("letting the second ask later and be answered first")
		w.timeline = newTimeline(w.clock)
		w.start()
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		later := w.tokenIn(token)
		before := w.secret(token)
		close(release)
		slow.settle()
		Expect(w.upstream.RequestsFor(idOf(token))).To(HaveLen(2))
		Expect(w.secret(token)).To(Equal(before))
		Expect(w.tokenIn(token)).To(Equal(later))
	})
})

var _ = Describe("A Secret that cannot be cleared", func() {
	It("is deleted when the grant is withdrawn", func() {
		w := running()
		token := w.synced("alice")
		secret := w.secret(token)
		w.waitForPass(token, func() { w.edit(secret, func() { secret.Immutable = ptr.To(true) }) })
		environment := w.environment()
		w.edit(environment, func() { environment.Spec.Grants = nil })
		w.waitForReason(token, v1alpha1.NotGrantedReason)
		Expect(w.secret(token)).To(BeNil())
	})
})
