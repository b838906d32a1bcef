package v1alpha1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// inNewNamespace creates a namespace and returns its name.
func inNewNamespace(ctx context.Context) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "api-"}}
	Expect(user.Create(ctx, namespace)).To(Succeed())
	return namespace.Name
}

// createIn creates an object with the given name and spec.
func createIn(ctx context.Context, namespace, kind, name, spec string) *unstructured.Unstructured {
	GinkgoHelper()
	there := object(kind, parse(spec))
	there.SetNamespace(namespace)
	there.SetName(name)
	there.SetGenerateName("")
	Expect(user.Create(ctx, there)).To(Succeed())
	return there
}

// table returns the table that "kubectl get" prints.
func table(ctx context.Context, namespace, resource string) *metav1.Table {
	GinkgoHelper()
	clientset, err := kubernetes.NewForConfig(apiServer)
	Expect(err).NotTo(HaveOccurred())
	text, err := clientset.RESTClient().Get().AbsPath("apis", v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version,
		"namespaces", namespace, resource).SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(ctx)
	Expect(err).NotTo(HaveOccurred())
	printed := &metav1.Table{}
	Expect(json.Unmarshal(text, printed)).To(Succeed())
	return printed
}

// columns returns the names of the columns of a table. Columns of -o wide are in brackets.
func columns(printed *metav1.Table) []string {
	var names []string
	for _, column := range printed.ColumnDefinitions {
		if column.Priority > 0 {
			names = append(names, "("+column.Name+")")
			continue
		}
		names = append(names, column.Name)
	}
	return names
}

// cells returns the cells of one row by the names of their columns.
func cells(printed *metav1.Table, row int) map[string]string {
	byName := map[string]string{}
	for i, column := range printed.ColumnDefinitions {
		byName[column.Name] = fmt.Sprint(printed.Rows[row].Cells[i])
	}
	return byName
}

var _ = Describe("kubectl get", func() {
	It("prints what matters of a PipesToken", func(ctx context.Context) {
		namespace := inNewNamespace(ctx)
		createIn(ctx, namespace, "PipesToken", "alice", `{slug: github, userID: user_1, organizationID: org_1}`)
		printed := table(ctx, namespace, "pipestokens")
		Expect(columns(printed)).To(Equal([]string{"Name", "Slug", "Ready", "Reason", "Expires",
			"(User)", "(Organization)", "(Owner)", "(Secret)", "(Renewal)", "(Failing)", "Age"}))
		Expect(cells(printed, 0)).To(And(
			HaveKeyWithValue("Name", "alice"), HaveKeyWithValue("Slug", "github"), HaveKeyWithValue("Ready", "Unknown"),
			HaveKeyWithValue("Reason", "Pending"), HaveKeyWithValue("Expires", "<nil>"), HaveKeyWithValue("Secret", "<nil>"),
			HaveKeyWithValue("User", "user_1"), HaveKeyWithValue("Organization", "org_1"),
			HaveKeyWithValue("Owner", "User"), HaveKeyWithValue("Renewal", "<nil>")))
	})

	It("prints instants to come as such, and not as <invalid>", func(ctx context.Context) {
		namespace := inNewNamespace(ctx)
		there := createIn(ctx, namespace, "PipesToken", "alice", leastToken)
		expires := time.Date(2999, 11, 23, 14, 0, 0, 0, time.UTC)
		there.Object["status"] = map[string]any{
			"conditions": []any{
				map[string]any{"type": "Connected", "status": "True", "reason": "Connected", "message": "", "lastTransitionTime": "2026-11-23T13:00:00Z"},
				map[string]any{"type": "Ready", "status": "True", "reason": "TokenSynced", "message": "", "lastTransitionTime": "2026-11-23T13:00:00Z"},
			},
			"expirationTime": expires.Format(time.RFC3339), "renewalTime": expires.Add(-10 * time.Minute).Format(time.RFC3339),
			"binding": map[string]any{"name": "alice"},
		}
		Expect(user.Status().Update(ctx, there)).To(Succeed())
		Expect(cells(table(ctx, namespace, "pipestokens"), 0)).To(And(
			HaveKeyWithValue("Ready", "True"), HaveKeyWithValue("Reason", "TokenSynced"), HaveKeyWithValue("Secret", "alice"),
			HaveKeyWithValue("Expires", "2999-11-23T14:00:00Z"), HaveKeyWithValue("Renewal", "2999-11-23T13:50:00Z"),
			Not(ContainElement(ContainSubstring("invalid")))))
	})

	It("prints what matters of a PipesEnvironment", func(ctx context.Context) {
		namespace := inNewNamespace(ctx)
		createIn(ctx, namespace, "PipesEnvironment", "default", leastEnvironment)
		printed := table(ctx, namespace, "pipesenvironments")
		Expect(columns(printed)).To(Equal([]string{"Name", "URL", "Ready", "Reason", "(Grants)", "(Events)", "Age"}))
		Expect(cells(printed, 0)).To(And(
			HaveKeyWithValue("Name", "default"), HaveKeyWithValue("URL", "https://api.workos.com"),
			HaveKeyWithValue("Ready", "Unknown"), HaveKeyWithValue("Reason", "Pending"),
			Not(ContainElement(ContainSubstring("invalid")))))
	})

	DescribeTable("selects PipesTokens by", func(ctx context.Context, field, value string, want ...string) {
		namespace := inNewNamespace(ctx)
		createIn(ctx, namespace, "PipesToken", "a", `{slug: github, userID: user_1, organizationID: org_1}`)
		createIn(ctx, namespace, "PipesToken", "b", `{slug: github, userID: user_2}`)
		createIn(ctx, namespace, "PipesToken", "c", `{slug: slack, userID: user_1, organizationID: org_2, connectionOwner: Organization}`)
		list := &v1alpha1.PipesTokenList{}
		Expect(user.List(ctx, list, client.InNamespace(namespace), client.MatchingFields{field: value})).To(Succeed())
		names := []string{}
		for _, token := range list.Items {
			names = append(names, token.Name)
		}
		Expect(names).To(ConsistOf(want))
	},
		Entry("slug", "spec.slug", "github", "a", "b"),
		Entry("another slug", "spec.slug", "slack", "c"),
		Entry("a slug that none has", "spec.slug", "git"),
		Entry("user", "spec.userID", "user_1", "a", "c"),
		Entry("organization", "spec.organizationID", "org_1", "a"),
		Entry("the lack of an organization", "spec.organizationID", "", "b"),
		Entry("the default owner", "spec.connectionOwner", "User", "a", "b"),
		Entry("another owner", "spec.connectionOwner", "Organization", "c"),
	)

	It("says which fields cannot be selected by", func(ctx context.Context) {
		err := user.List(ctx, &v1alpha1.PipesTokenList{}, client.MatchingFields{"spec.secretName": "a"})
		Expect(err).To(MatchError(ContainSubstring("field label not supported: spec.secretName")))
	})
})

var _ = Describe("Discovery", func() {
	It("tells short names and categories", func() {
		clientset, err := kubernetes.NewForConfig(apiServer)
		Expect(err).NotTo(HaveOccurred())
		resources, err := clientset.Discovery().ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
		Expect(err).NotTo(HaveOccurred())
		found := map[string]metav1.APIResource{}
		for _, resource := range resources.APIResources {
			found[resource.Name] = resource
		}
		Expect(found).To(HaveLen(4), "two kinds, each with status")
		for name, shortName := range map[string]string{"pipestokens": "ptok", "pipesenvironments": "penv"} {
			Expect(found[name].ShortNames).To(Equal([]string{shortName}))
			Expect(found[name].Categories).To(Equal([]string{"pipes"}))
			Expect(found[name].Namespaced).To(BeTrue())
			Expect(found).To(HaveKey(name + "/status"))
		}
	})

	DescribeTable("explains every field", func(ctx context.Context, name string) {
		schema := definition(ctx, name).Spec.Versions[0].Schema.OpenAPIV3Schema
		for _, field := range []string{"spec", "status"} {
			expectDescriptions(schema.Properties[field], field)
		}
	},
		Entry("of a PipesToken", "pipestokens.pipes.workos.com"),
		Entry("of a PipesEnvironment", "pipesenvironments.pipes.workos.com"),
	)

	It("finds PipesTokens as services that servicebinding.io can bind", func(ctx context.Context) {
		Expect(definition(ctx, "pipestokens.pipes.workos.com").Labels).To(HaveKeyWithValue("servicebinding.io/provisioned-service", "true"))
	})
})

// definition returns the CRD from the API server.
func definition(ctx context.Context, name string) *apiextensionsv1.CustomResourceDefinition {
	GinkgoHelper()
	raw := &unstructured.Unstructured{}
	raw.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
	Expect(user.Get(ctx, client.ObjectKey{Name: name}, raw)).To(Succeed())
	text, err := json.Marshal(raw)
	Expect(err).NotTo(HaveOccurred())
	found := &apiextensionsv1.CustomResourceDefinition{}
	Expect(json.Unmarshal(text, found)).To(Succeed())
	return found
}

// expectDescriptions expects a description of every field that "kubectl explain --recursive" lists.
func expectDescriptions(schema apiextensionsv1.JSONSchemaProps, path string) {
	GinkgoHelper()
	Expect(schema.Description).NotTo(BeEmpty(), path)
	for name, property := range schema.Properties {
		expectDescriptions(property, path+"."+name)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		for name, property := range schema.Items.Schema.Properties {
			expectDescriptions(property, path+"[]."+name)
		}
	}
}
