package controllers_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admission "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/controllers/pipestoken"
)

// These specs use a real API server that refuses, loses or changes the writes of the operator.
var _ = Describe("Admission", func() {
	var w *world
	BeforeEach(func() { w = running() })

	// inTenant selects the namespace of the spec, so that specs do not affect each other.
	inTenant := func() *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.tenant}}
	}

	// webhookDown returns a webhook configuration for a URL that no server listens on.
	webhookDown := func(resource string, operations ...admissionv1.OperationType) client.Object {
		group, version := "", "v1"
		if resource != "secrets" {
			group, version = v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version
		}
		return &admissionv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "down-" + w.tenant},
			Webhooks: []admissionv1.ValidatingWebhook{{
				Name: "down.example.com", NamespaceSelector: inTenant(), SideEffects: ptr.To(admissionv1.SideEffectClassNone),
				AdmissionReviewVersions: []string{"v1"}, FailurePolicy: ptr.To(admissionv1.Fail),
				ClientConfig: admissionv1.WebhookClientConfig{URL: ptr.To("https://127.0.0.1:29999/validate")},
				Rules: []admissionv1.RuleWithOperations{{Operations: operations, Rule: admissionv1.Rule{
					APIGroups: []string{group}, APIVersions: []string{version}, Resources: []string{resource},
				}}},
			}},
		}
	}

	// install creates admission objects, and waits until the API server applies them. remove
	// deletes the objects.
	install := func(heeded func() error, objects ...client.Object) (remove func()) {
		for _, object := range objects {
			w.create(object)
		}
		remove = func() {
			for _, object := range objects {
				Expect(client.IgnoreNotFound(user.Delete(w.ctx, object))).To(Succeed())
			}
		}
		DeferCleanup(remove)
		Eventually(heeded, soon, often).Should(Succeed())
		return remove
	}

	// probe dry-runs the creation of somebody else's Secret in the namespace, and returns the
	// Secret as the API server would store it.
	probe := func() (*corev1.Secret, error) {
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				GenerateName: "probe-", Namespace: w.tenant, Labels: map[string]string{"probe": "yes"}, Annotations: map[string]string{"probe": "yes"},
			},
			Data: map[string][]byte{"probe": []byte("yes")},
		}
		return secret, user.Create(w.ctx, secret, client.DryRunAll)
	}
	refused := func() error {
		if _, err := probe(); err == nil {
			return fmt.Errorf("the webhook is not asked yet")
		}
		return nil
	}
	accepted := func() error {
		_, err := probe()
		return err
	}

	// policy returns a MutatingAdmissionPolicy, and its binding, for Secrets in the namespace.
	policy := func(mutation string) []client.Object {
		name := "mutate-" + w.tenant
		return []client.Object{
			&admissionv1.MutatingAdmissionPolicy{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: admissionv1.MutatingAdmissionPolicySpec{
					FailurePolicy: ptr.To(admissionv1.Fail), ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
					MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
						RuleWithOperations: admissionv1.RuleWithOperations{
							Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
							Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
						},
					}}},
					Mutations: []admissionv1.Mutation{
						{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: mutation}},
						// This mutation marks probes, so that the spec can see when the policy is
						// applied.
						{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: `has(object.metadata.labels) && "probe" in object.metadata.labels ?
							[JSONPatch{op: "replace", path: "/metadata/labels/probe", value: "seen"}] : []`}},
					},
				},
			},
			&admissionv1.MutatingAdmissionPolicyBinding{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{
					PolicyName: name, MatchResources: &admissionv1.MatchResources{NamespaceSelector: inTenant()},
				},
			},
		}
	}
	mutated := func() error {
		if secret, err := probe(); err != nil || secret.Labels["probe"] != "seen" {
			return fmt.Errorf("the policy is not heeded yet: %w", err)
		}
		return nil
	}
	untouched := func() error {
		if secret, err := probe(); err != nil || secret.Labels["probe"] == "seen" {
			return fmt.Errorf("the policy is still heeded: %w", err)
		}
		return nil
	}

	askNow := func(token *v1alpha1.PipesToken, value string) {
		w.clock.Step(5 * time.Second) // the least time between two calls for one connection
		w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: value} })
	}
	calls := func(token *v1alpha1.PipesToken) int { return len(w.upstream.RequestsFor(idOf(token))) }
	says := func(token *v1alpha1.PipesToken, kind string) string {
		if condition := meta.FindStatusCondition(w.reload(token).Status.Conditions, kind); condition != nil {
			return condition.Reason + ": " + condition.Message
		}
		return ""
	}
	recovers := func(token *v1alpha1.PipesToken) {
		GinkgoHelper()
		w.timeline.advance(30 * time.Second)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(says(token, v1alpha1.RenewalFailedCondition)).To(BeEmpty())
		Expect(w.tokenIn(token)).To(Equal(w.held(token)))
	}

	It("by a webhook that is down is told for a new PipesToken, costs few calls, and is forgiven", func() {
		remove := install(refused, webhookDown("secrets", admissionv1.Create, admissionv1.Update))
		token := w.token("alice")
		w.connect(token)
		w.settled(token, v1alpha1.SecretNotWrittenReason)
		Expect(conditionsOf(token)).To(ContainElements("Ready=False/SecretNotWritten", "Reconciling=True/SecretNotWritten"))
		Expect(says(token, v1alpha1.ReadyCondition)).To(ContainSubstring(`failed calling webhook "down.example.com"`))
		w.timeline.advance(10 * time.Minute)
		Expect(calls(token)).To(BeNumerically("<=", 3))
		remove()
		Eventually(accepted, soon, often).Should(Succeed())
		recovers(token)
		Expect(calls(token)).To(BeNumerically("<=", 3))
	})

	It("by a webhook that is down leaves a valid token, and tells that it cannot be renewed", func() {
		token := w.rested("alice", alwaysFresh)
		first := w.tokenIn(token)
		remove := install(refused, webhookDown("secrets", admissionv1.Create, admissionv1.Update))
		events := w.operator.requests.count(emitEvent)
		before := calls(token)
		askNow(token, "now")
		Eventually(func() string { return says(token, v1alpha1.RenewalFailedCondition) }, soon, often).Should(
			ContainSubstring(`failed calling webhook "down.example.com"`))
		w.operator.requests.waitForEvents(events + 1)
		w.timeline.advance(10 * time.Minute)
		Expect(conditionsOf(w.reload(token))).To(ContainElements("Ready=True/TokenSynced", "RenewalFailed=True/SecretNotWritten"))
		Expect(token.Status.LastHandledRefreshRequest).To(BeEmpty())
		Expect(w.tokenIn(token)).To(Equal(first))
		Expect(calls(token) - before).To(BeNumerically("<=", 3))
		remove()
		Eventually(accepted, soon, often).Should(Succeed())
		recovers(token)
		Expect(w.reload(token).Status.LastHandledRefreshRequest).To(Equal("now"))
	})

	It("by a webhook that is down does not hide that a token which has to go is still there", func() {
		token := w.synced("alice")
		remove := install(refused, webhookDown("secrets", admissionv1.Create, admissionv1.Update))
		environment := w.environment()
		w.edit(environment, func() { environment.Spec.Grants = nil })
		w.waitForReasonOnly(token, v1alpha1.NotGrantedReason)
		Expect(says(token, v1alpha1.ReadyCondition)).To(And(ContainSubstring("The token is still in the Secret"), ContainSubstring("failed calling webhook")))
		remove()
		Eventually(func() map[string][]byte { return w.secret(token).Data }, time.Minute, often).Should(BeEmpty())
		Eventually(func() string { return says(token, v1alpha1.ReadyCondition) }, soon, often).ShouldNot(ContainSubstring("still in the Secret"))
	})

	It("by a webhook that refuses statuses costs no call for each retry", func() {
		token := w.rested("alice", alwaysFresh)
		before := calls(token)
		remove := install(func() error {
			probe := w.reload(token).DeepCopy()
			probe.Status.ObservedGeneration++
			if err := user.Status().Update(w.ctx, probe, client.DryRunAll); err == nil {
				return fmt.Errorf("the webhook is not asked yet")
			}
			return nil
		}, webhookDown("pipestokens/status", admissionv1.Update))
		askNow(token, "now") // the timeline does not settle while reconciles fail
		Eventually(func() int { return calls(token) }, soon, often).Should(Equal(before + 1))
		Consistently(func() int { return calls(token) }, time.Second, often).Should(Equal(before + 1))
		remove()
		Eventually(func() string { return w.reload(token).Status.LastHandledRefreshRequest }, time.Minute, often).Should(Equal("now"))
		Expect(calls(token)).To(Equal(before + 1))
	})

	It("by a quota is told in the API server's words, although the data has words of them", func() {
		w.create(&corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "none", Namespace: w.tenant}, Spec: corev1.ResourceQuotaSpec{
			Hard: corev1.ResourceList{corev1.ResourceSecrets: resource.MustParse("0")}}})
		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "none", Namespace: w.tenant}}
		w.edit(quota, func() {})
		Expect(user.Get(w.ctx, client.ObjectKeyFromObject(quota), quota)).To(Succeed())
		quota.Status.Hard = corev1.ResourceList{corev1.ResourceSecrets: resource.MustParse("0")}
		quota.Status.Used = corev1.ResourceList{corev1.ResourceSecrets: resource.MustParse("0")}
		Expect(user.Status().Update(w.ctx, quota)).To(Succeed())
		Eventually(refused, soon, often).Should(Succeed())
		token := w.token("github-alice")
		token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataTemplate{
			"type": "git", "one": "1", "url": "https://git.example.com/team/app.git", "password": "{{ .AccessToken }}", "scopes": `{{ join " " .Scopes }}`,
		}}
		w.connect(token)
		w.settled(token, v1alpha1.SecretRejectedReason)
		Expect(says(token, v1alpha1.ReadyCondition)).To(ContainSubstring("exceeded quota: none, requested: secrets=1"))
		w.timeline.advance(10 * time.Minute)
		Expect(calls(token)).To(BeNumerically("<=", 3))
		Expect(user.Delete(w.ctx, quota)).To(Succeed())
		Eventually(accepted, soon, often).Should(Succeed())
		w.timeline.advance(30 * time.Second)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
	})

	It("by a policy that changes the type is told, and the Secret created anew once it is gone", func() {
		remove := install(mutated, policy(`object.type == "Opaque" && !("probe" in object.data) ?
			[JSONPatch{op: "replace", path: "/type", value: "example.com/other"}] : []`)...)
		token := w.token("alice")
		w.connect(token)
		w.settled(token, v1alpha1.SecretChangedReason)
		Expect(says(token, v1alpha1.ReadyCondition)).To(ContainSubstring("the type is changed"))
		Expect(w.secret(token)).To(BeNil())
		w.timeline.advance(10 * time.Minute)
		Expect(calls(token)).To(BeNumerically("<=", 3))
		remove()
		Eventually(untouched, soon, often).Should(Succeed())
		recovers(token)
		Expect(w.secret(token).Type).To(Equal(corev1.SecretTypeOpaque))
	})

	It("by a webhook that takes long is told while it does, and the token written once it answers", func() {
		w.operator.stop()
		w.start(func(r *pipestoken.Reconciler) { r.SlowWrite = 100 * time.Millisecond })
		release := make(chan struct{})
		hook := newSlowWebhook(release)
		slow := webhookDown("secrets", admissionv1.Create).(*admissionv1.ValidatingWebhookConfiguration)
		slow.Webhooks[0].ClientConfig = hook.config()
		slow.Webhooks[0].TimeoutSeconds = ptr.To[int32](30)
		install(func() error {
			if _, err := probe(); err != nil || hook.probes.Load() == 0 {
				return fmt.Errorf("the webhook is not asked yet: %w", err)
			}
			return nil
		}, slow)
		token := w.token("alice")
		w.connect(token)
		w.create(token)
		w.waitForReasonOnly(token, v1alpha1.SecretNotWrittenReason)
		Expect(says(token, v1alpha1.ReadyCondition)).To(ContainSubstring("has not answered for 100ms"))
		close(release)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		Expect(calls(token)).To(Equal(1))
	})

	for _, code := range []int32{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
		It(fmt.Sprintf("and an API server that answers %d are told, cost few calls, and are forgiven", code), func() {
			token := w.synced("alice", alwaysFresh)
			valid, before := w.tokenIn(token), calls(token)
			w.operator.requests.refuseWith(code, "etcdserver: no leader", createSecret, patchSecret, tryOut, tryCreate)
			askNow(token, "now")
			Eventually(func() string { return says(token, v1alpha1.RenewalFailedCondition) }, soon, often).Should(
				And(HavePrefix("SecretNotWritten: "), ContainSubstring("etcdserver: no leader")))
			other := w.token("bob")
			w.connect(other)
			w.settled(other, v1alpha1.SecretNotWrittenReason)
			w.timeline.advance(10 * time.Minute)
			Expect(w.tokenIn(token)).To(Equal(valid))
			Expect(calls(token) - before).To(BeNumerically("<=", 3))
			Expect(calls(other)).To(BeNumerically("<=", 3))
			w.operator.requests.refuse("", "")
			recovers(token)
			recovers(other)
		})
	}

	for name, test := range map[string]struct{ mutation, says string }{
		"removes a data key": {remove("data", "access_token"), `data key "access_token" is removed`},
		"changes a data key": {replace("data", "access_token", `"b3RoZXI="`), `data key "access_token" is changed`},
		"removes the hash":   {remove("metadata.annotations", "pipes.workos.com/token-hash"), `annotation "pipes.workos.com/token-hash" is removed`},
		"changes the expiry": {replace("metadata.annotations", "pipes.workos.com/expires-at", `"never"`), `annotation "pipes.workos.com/expires-at" is changed`},
		"removes all annotations": {`has(object.metadata.annotations) && "pipes.workos.com/token-hash" in object.metadata.annotations ?
			[JSONPatch{op: "remove", path: "/metadata/annotations"}] : []`, "and 4 more"},
		"removes the label that selects": {remove("metadata.labels", "app.kubernetes.io/managed-by"), `label "app.kubernetes.io/managed-by" is removed`},
		"removes the owner": {`has(object.metadata.ownerReferences) && object.metadata.ownerReferences.size() > 0 ?
			[JSONPatch{op: "remove", path: "/metadata/ownerReferences"}] : []`, "the owner reference is removed"},
	} {
		It("by a policy that "+name+" is told, and neither asks again and again nor loses a valid token", func() {
			token := w.rested("alice", alwaysFresh)
			remove := install(mutated, policy(test.mutation)...)
			before, valid := calls(token), w.tokenIn(token)

			By("renewing a token that is valid")
			askNow(token, "now")
			Eventually(func() string { return says(token, v1alpha1.RenewalFailedCondition) }, soon, often).Should(
				And(HavePrefix("SecretChanged: "), ContainSubstring(test.says)))
			w.timeline.advance(10 * time.Minute)
			Expect(conditionsOf(w.reload(token))).To(ContainElements("Ready=True/TokenSynced", "RenewalFailed=True/SecretChanged"))
			Expect(w.tokenIn(token)).To(Equal(valid))
			Expect(calls(token) - before).To(BeNumerically("<=", 3))

			By("writing a new one")
			other := w.token("bob")
			w.connect(other)
			w.settled(other, v1alpha1.SecretChangedReason)
			Expect(conditionsOf(other)).To(ContainElements("Ready=False/SecretChanged", "Stalled=True/SecretChanged"))
			Expect(says(other, v1alpha1.ReadyCondition)).To(ContainSubstring(test.says))
			w.timeline.advance(10 * time.Minute)
			Expect(calls(other)).To(BeNumerically("<=", 3))

			By("going on once the policy is gone")
			remove()
			Eventually(untouched, soon, often).Should(Succeed())
			recovers(token)
			recovers(other)
		})
	}
})

// remove and replace are mutations of one key of a map in Secrets. They apply only if the key
// exists.
func remove(path, key string) string {
	return mutation(path, key, fmt.Sprintf(`JSONPatch{op: "remove", path: %q}`, pointer(path, key)))
}

func replace(path, key, value string) string {
	return mutation(path, key, fmt.Sprintf(`JSONPatch{op: "replace", path: %q, value: %s}`, pointer(path, key), value))
}

func mutation(path, key, patch string) string {
	return fmt.Sprintf(`has(object.%s) && %q in object.%s ? [%s] : []`, path, key, path, patch)
}

func pointer(path, key string) string {
	return "/" + strings.ReplaceAll(path, ".", "/") + "/" + strings.ReplaceAll(key, "/", "~1")
}

// slowWebhook admits everything: probes at once, and everything else after release is closed.
type slowWebhook struct {
	server *httptest.Server
	probes atomic.Int32
}

func newSlowWebhook(release <-chan struct{}) *slowWebhook {
	hook := &slowWebhook{}
	hook.server = httptest.NewTLSServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		defer GinkgoRecover()
		var review admission.AdmissionReview
		Expect(json.NewDecoder(request.Body).Decode(&review)).To(Succeed())
		var object metav1.PartialObjectMetadata
		Expect(json.Unmarshal(review.Request.Object.Raw, &object)).To(Succeed())
		if _, isProbe := object.Labels["probe"]; isProbe {
			hook.probes.Add(1)
		} else {
			<-release
		}
		review.Response = &admission.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		Expect(json.NewEncoder(response).Encode(review)).To(Succeed())
	}))
	DeferCleanup(hook.server.Close)
	return hook
}

func (h *slowWebhook) config() admissionv1.WebhookClientConfig {
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw})
	return admissionv1.WebhookClientConfig{URL: &h.server.URL, CABundle: certificate}
}
