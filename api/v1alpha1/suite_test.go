// Package v1alpha1_test tests the API as users see it, against a real API server: the validation with
// its messages, the defaults, the printed columns and the field selectors.
package v1alpha1_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// The suite shares a real API server with the CRDs, and a client. As for kubectl, an unknown field
// is an error for this client.
var (
	apiServer *rest.Config
	user      client.Client
)

func TestAPI(t *testing.T) {
	RegisterFailHandler(Fail)
	suite, reporter := GinkgoConfiguration()
	suite.RandomizeAllSpecs = true
	RunSpecs(t, "API", suite, reporter)
}

var _ = BeforeSuite(func() {
	plane, err := harness.Start(harness.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(plane.Stop)
	apiServer, user = plane.Admin, client.WithFieldValidation(plane.Root, "Strict")
})

// Specs with only the required fields.
const (
	leastToken       = `{slug: github, userID: user_1}`
	leastEnvironment = `{apiKeySecretRef: {name: workos-api-key, key: api-key}}`
)

// parse reads YAML. LONG in it stands for 300 letters.
func parse(text string) map[string]any {
	GinkgoHelper()
	parsed := map[string]any{}
	Expect(yaml.Unmarshal([]byte(strings.ReplaceAll(text, "LONG", long)), &parsed)).To(Succeed(), text)
	return parsed
}

var long = strings.Repeat("a", 300)

// withChanges merges changes into a spec as "kubectl patch --type=merge" does: null removes a field.
func withChanges(spec, changes map[string]any) map[string]any {
	merged := map[string]any{}
	for key, value := range spec {
		merged[key] = value
	}
	for key, change := range changes {
		switch change := change.(type) {
		case nil:
			delete(merged, key)
		case map[string]any:
			old, _ := merged[key].(map[string]any)
			merged[key] = withChanges(old, change)
		default:
			merged[key] = change
		}
	}
	return merged
}

// object returns an object of the kind, with a generated name.
func object(kind string, spec map[string]any) *unstructured.Unstructured {
	created := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	created.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	created.SetNamespace(corev1.NamespaceDefault)
	created.SetGenerateName("x-")
	return created
}

// tryToCreate returns the error of the API server for a dry run of a creation.
func tryToCreate(ctx context.Context, kind, least, changes string) error {
	GinkgoHelper()
	return user.Create(ctx, object(kind, withChanges(parse(least), parse(changes))), client.DryRunAll)
}

// unchecked is the message that the API server adds if it has not evaluated all rules.
const unchecked = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; " +
	"correct the existing errors to complete validation"

// words returns the lines that kubectl prints for an error, without unchecked.
func words(err error) []string {
	GinkgoHelper()
	var refusal apierrors.APIStatus
	Expect(errors.As(err, &refusal)).To(BeTrue(), "not refused: %v", err)
	status := refusal.Status()
	if status.Details == nil || len(status.Details.Causes) == 0 {
		return []string{status.Message}
	}
	var lines []string
	for _, cause := range status.Details.Causes {
		if line := strings.ReplaceAll(cause.Field+": "+cause.Message, long, "LONG"); line != unchecked {
			lines = append(lines, line)
		}
	}
	return lines
}

// lines splits the expected words of a table into lines.
func lines(text ...string) []string { return text }
