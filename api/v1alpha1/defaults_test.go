package v1alpha1_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// created returns the object that the API server stores for a spec.
func created(ctx context.Context, kind, spec string) *unstructured.Unstructured {
	GinkgoHelper()
	there := object(kind, parse(spec))
	Expect(user.Create(ctx, there)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { Expect(client.IgnoreNotFound(user.Delete(ctx, there))).To(Succeed()) })
	return there
}

// pending is the status of an object that the operator has not reconciled yet. Without it, tools
// that read kstatus would report the object as ready.
var pending = map[string]any{"conditions": []any{map[string]any{
	"type": "Ready", "status": "Unknown", "reason": "Pending", "message": "Waiting for the operator", "lastTransitionTime": "1970-01-01T00:00:00Z",
}}}

// withDefaults returns a spec of a PipesEnvironment with these fields, and the defaults of the
// others.
func withDefaults(fields string) string {
	return `{apiKeySecretRef: {name: workos-api-key, key: api-key}, baseURL: https://api.workos.com, requestsPerMinute: 3000, ` + fields + `}`
}

var _ = Describe("Defaults", func() {
	DescribeTable("fill in what a spec leaves out", func(ctx context.Context, kind, spec, want string) {
		Expect(created(ctx, kind, spec).Object["spec"]).To(Equal(normalized(parse(want))))
	},
		Entry("of a PipesToken", "PipesToken", leastToken,
			`{slug: github, userID: user_1, connectionOwner: User, authMethod: OAuth, refreshInterval: 1h, inactivePolicy: Clear}`),
		Entry("of a PipesToken, for null", "PipesToken", `{slug: github, userID: user_1, connectionOwner: null, authMethod: null,
			connectedAccountID: null, refreshInterval: null, inactivePolicy: null}`,
			`{slug: github, userID: user_1, connectionOwner: User, authMethod: OAuth, refreshInterval: 1h, inactivePolicy: Clear}`),
		Entry("of a secretTemplate", "PipesToken", `{slug: github, userID: user_1, secretTemplate: {}}`,
			`{slug: github, userID: user_1, connectionOwner: User, authMethod: OAuth, refreshInterval: 1h, inactivePolicy: Clear, secretTemplate: {type: Opaque}}`),
		Entry("of a PipesEnvironment", "PipesEnvironment", leastEnvironment,
			`{apiKeySecretRef: {name: workos-api-key, key: api-key}, baseURL: https://api.workos.com, requestsPerMinute: 3000, events: {pollInterval: 15s}}`),
		Entry("of a PipesEnvironment, for null", "PipesEnvironment", `{apiKeySecretRef: {name: workos-api-key, key: api-key}, baseURL: null, requestsPerMinute: null,
			grants: null, events: null}`,
			`{apiKeySecretRef: {name: workos-api-key, key: api-key}, baseURL: https://api.workos.com, requestsPerMinute: 3000, events: {pollInterval: 15s}}`),
		Entry("of events", "PipesEnvironment", withDefaults(`events: {}`), withDefaults(`events: {pollInterval: 15s}`)),
		Entry("of events, for null", "PipesEnvironment", withDefaults(`events: {pollInterval: null, disabled: null}`), withDefaults(`events: {pollInterval: 15s}`)),
		Entry("of events that are disabled", "PipesEnvironment", withDefaults(`events: {disabled: true}`), withDefaults(`events: {disabled: true, pollInterval: 15s}`)),
		Entry("of a grant", "PipesEnvironment",
			withDefaults(`events: {pollInterval: 15s}, grants: [{namespaces: {names: [a]}, slugs: [b], organizationIDs: [c], userIDs: [d]}]`),
			withDefaults(`events: {pollInterval: 15s}, grants: [{namespaces: {names: [a]}, slugs: [b], organizationIDs: [c], userIDs: [d], connectionOwners: [User]}]`)),
		Entry("of a grant, for null", "PipesEnvironment",
			withDefaults(`events: {pollInterval: 15s}, grants: [{namespaces: {names: [a]}, slugs: [b], organizationIDs: null, organizationIDsFrom: {namespaceLabel: c},
				userIDs: [d], userIDsFrom: null, connectionOwners: null}]`),
			withDefaults(`events: {pollInterval: 15s}, grants: [{namespaces: {names: [a]}, slugs: [b], organizationIDsFrom: {namespaceLabel: c}, userIDs: [d],
				connectionOwners: [User]}]`)),
	)

	DescribeTable("leave alone what a spec says", func(ctx context.Context, kind, spec string) {
		Expect(created(ctx, kind, spec).Object["spec"]).To(Equal(normalized(parse(spec))))
	},
		Entry("of a PipesToken", "PipesToken", `{slug: github, userID: user_1, organizationID: org_1, connectionOwner: Organization,
			connectedAccountID: data_installation_1, authMethod: APIKey, environmentRef: {name: a, namespace: b}, secretName: c, secretTemplate: {type: kubernetes.io/basic-auth, labels: {a: b}, annotations: {c: d}, data: {password: e}},
			renewBefore: 5m, refreshInterval: 2h, inactivePolicy: Retain, suspend: true}`),
		Entry("of a PipesEnvironment", "PipesEnvironment", `{apiKeySecretRef: {name: a, key: b}, baseURL: http://localhost:8080, requestsPerMinute: 1,
			grants: [{namespaces: {names: [a], selector: {matchLabels: {a: b}, matchExpressions: [{key: c, operator: In, values: [d]}]}},
				slugs: [e], organizationIDs: [f], userIDs: [g], connectionOwners: [Organization, User]},
				{namespaces: {names: [a]}, slugs: [e], organizationIDsFrom: {namespaceLabel: h}, userIDsFrom: {namespaceLabel: i}, connectionOwners: [Organization]}],
			events: {pollInterval: 1m30s, disabled: true}}`),
	)

	DescribeTable("say that a new object waits for the operator", func(ctx context.Context, kind, spec string) {
		there := created(ctx, kind, spec)
		Expect(there.Object["status"]).To(Equal(pending))
		Expect(user.Get(ctx, client.ObjectKeyFromObject(there), there)).To(Succeed())
		Expect(there.Object["status"]).To(Equal(pending), "when it is read")
	},
		Entry("a PipesToken", "PipesToken", leastToken),
		Entry("a PipesEnvironment", "PipesEnvironment", leastEnvironment),
	)

	DescribeTable("let nobody set a status with the spec", func(ctx context.Context, kind, spec string) {
		there := object(kind, parse(spec))
		ready := map[string]any{"conditions": []any{map[string]any{
			"type": "Ready", "status": "True", "reason": "TokenSynced", "message": "", "lastTransitionTime": "2026-11-23T13:00:00Z",
		}}}
		there.Object["status"] = ready
		Expect(user.Create(ctx, there)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(user.Delete(ctx, there)).To(Succeed()) })
		Expect(there.Object["status"]).To(Equal(pending))

		there.Object["status"] = ready
		Expect(user.Update(ctx, there)).To(Succeed())
		Expect(there.Object["status"]).To(Equal(pending))
	},
		Entry("a PipesToken", "PipesToken", leastToken),
		Entry("a PipesEnvironment", "PipesEnvironment", leastEnvironment),
	)
})

// normalized converts numbers to the types that a client reads.
func normalized(spec map[string]any) map[string]any {
	for key, value := range spec {
		if number, ok := value.(float64); ok {
			spec[key] = int64(number)
		}
	}
	return spec
}

var _ = Describe("The Go types", func() {
	It("say what the CRD says", func(ctx context.Context) {
		token := &v1alpha1.PipesToken{
			ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceDefault, GenerateName: "x-"},
			Spec: v1alpha1.PipesTokenSpec{
				Slug: "github", UserID: "user_1", RenewBefore: &metav1.Duration{Duration: 90 * time.Minute},
				RefreshInterval: &metav1.Duration{Duration: 2 * time.Hour},
			},
		}
		Expect(user.Create(ctx, token)).To(Succeed(), "durations are written as 1h30m0s")
		DeferCleanup(func(ctx context.Context) { Expect(user.Delete(ctx, token)).To(Succeed()) })
		Expect(token.Spec.RenewBefore.Duration).To(Equal(90 * time.Minute))
		Expect(token.Spec.InactivePolicy).To(Equal(v1alpha1.InactivePolicyClear))
		Expect(token.Spec.ConnectionOwner).To(Equal(v1alpha1.ConnectionOwnerUser))
		Expect(token.Spec.AuthMethod).To(Equal(v1alpha1.AuthMethodOAuth))
		Expect(token.TargetSecretName()).To(Equal(token.Name))
		ready := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ReadyCondition)
		Expect(ready).NotTo(BeNil())
		Expect(ready.Status).To(Equal(metav1.ConditionUnknown))
		Expect(ready.Reason).To(Equal(v1alpha1.PendingReason))

		for _, policy := range []v1alpha1.InactivePolicy{v1alpha1.InactivePolicyClear, v1alpha1.InactivePolicyDelete, v1alpha1.InactivePolicyRetain} {
			token.Spec.InactivePolicy = policy
			Expect(user.Update(ctx, token)).To(Succeed(), "policy %s", policy)
		}
		for _, method := range []v1alpha1.AuthMethod{v1alpha1.AuthMethodOAuth, v1alpha1.AuthMethodAPIKey, v1alpha1.AuthMethodClientCredentials} {
			shared := &v1alpha1.PipesToken{
				ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceDefault, GenerateName: "x-"},
				Spec: v1alpha1.PipesTokenSpec{Slug: "github", UserID: "user_1", OrganizationID: "org_1",
					ConnectionOwner: v1alpha1.ConnectionOwnerOrganization, AuthMethod: method},
			}
			Expect(user.Create(ctx, shared, client.DryRunAll)).To(Succeed(), "method %s", method)
		}
		for _, secretType := range []v1alpha1.SecretType{v1alpha1.SecretTypeOpaque, v1alpha1.SecretTypeBasicAuth, v1alpha1.SecretTypeDockerConfigJSON} {
			typed := &v1alpha1.PipesToken{
				ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceDefault, GenerateName: "x-"},
				Spec: v1alpha1.PipesTokenSpec{Slug: "github", UserID: "user_1", SecretName: "other", SecretTemplate: &v1alpha1.SecretTemplate{
					Type: secretType, Data: map[string]v1alpha1.DataTemplate{"password": "x", ".dockerconfigjson": "{}"},
				}},
			}
			Expect(typed.TargetSecretName()).To(Equal("other"))
			Expect(user.Create(ctx, typed, client.DryRunAll)).To(Succeed(), "type %s", secretType)
		}
	})

	It("leave out what is not given", func(ctx context.Context) {
		environment := &v1alpha1.PipesEnvironment{
			ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceDefault, GenerateName: "x-"},
			Spec: v1alpha1.PipesEnvironmentSpec{
				APIKeySecretRef: v1alpha1.SecretKeyReference{Name: "a", Key: "b"},
				Grants: []v1alpha1.Grant{{
					Namespaces: v1alpha1.GrantNamespaces{Names: []string{v1alpha1.AllNamespaces}},
					Slugs:      []string{v1alpha1.Any}, OrganizationIDs: []string{v1alpha1.Any}, UserIDs: []string{v1alpha1.Any},
				}},
			},
		}
		Expect(user.Create(ctx, environment)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(user.Delete(ctx, environment)).To(Succeed()) })
		Expect(environment.Spec.BaseURL).To(Equal("https://api.workos.com"))
		Expect(environment.Spec.RequestsPerMinute).To(Equal(int32(3000)))
		Expect(environment.Spec.Events.PollInterval.Duration).To(Equal(15 * time.Second))
		Expect(environment.Spec.Grants[0].ConnectionOwners).To(Equal([]v1alpha1.ConnectionOwner{v1alpha1.ConnectionOwnerUser}))
		Expect(environment.Spec.Grants[0].UserIDsFrom).To(BeNil())
		Expect(environment.Spec.Grants[0].Namespaces.Selector).To(BeNil(), "an empty selector would be refused")
	})
})
