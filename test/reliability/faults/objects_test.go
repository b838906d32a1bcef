//go:build reliability

package faults_test

import (
	"context"
	"regexp"
	"strconv"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// keySecretIn returns the Secret with the API key for a namespace.
func keySecretIn(namespace string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: keySecret},
		StringData: map[string]string{keyEntry: apiKey},
	}
}

// strangersSecret returns a Secret that the operator must not touch.
func strangersSecret(namespace, name string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"owner": strangers}},
		StringData: map[string]string{strangeKey: strangersValue},
	}
}

// bringStranger creates a Secret that must not change until the test ends.
func (s *site) bringStranger(t *testing.T, namespace, name string) {
	t.Helper()
	NewWithT(t).Expect(s.plane.root.Create(context.Background(), strangersSecret(namespace, name))).To(Succeed())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strange = append(s.strange, namespace+"/"+name)
}

// pipesEnvironment returns a PipesEnvironment that reaches WorkOS through a wire, with the API
// key of its namespace. It grants everything to the namespaces in granted.
func pipesEnvironment(workos *wire, namespace, name string, granted ...string) *v1alpha1.PipesEnvironment {
	environment := &v1alpha1.PipesEnvironment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	environment.Spec = v1alpha1.PipesEnvironmentSpec{
		APIKeySecretRef: v1alpha1.SecretKeyReference{Name: keySecret, Key: keyEntry}, BaseURL: "http://" + workos.address(),
	}
	if len(granted) > 0 {
		environment.Spec.Grants = anythingFor(granted...)
	}
	return environment
}

// anythingFor returns a grant of every slug, organization and user to namespaces.
func anythingFor(namespaces ...string) []v1alpha1.Grant {
	return []v1alpha1.Grant{harness.Anything(v1alpha1.GrantNamespaces{Names: namespaces})}
}

// kstatusOf returns the status that kstatus computes for a PipesToken.
func kstatusOf(t *testing.T, token *v1alpha1.PipesToken) status.Status {
	t.Helper()
	computed, _, err := harness.KStatusOf(token)
	if err != nil {
		t.Fatal(err)
	}
	return computed
}

// tokenPattern matches the simulator's tokens anywhere in a text: marker, slug, serial and a
// hash.
var tokenPattern = regexp.MustCompile(regexp.QuoteMeta(workossim.DefaultTokenMarker) + `[A-Za-z0-9-]+_([0-9]+)_[0-9a-f]{16}`)

// serialOf returns the serial of the token in a text, if the token belongs to this connection; 0
// if the text contains no token, and -1 if it contains a token of another connection.
func serialOf(id workossim.ID, text string) int {
	found := tokenPattern.FindStringSubmatch(text)
	if found == nil {
		return 0
	}
	serial, err := strconv.Atoi(found[1])
	if err != nil || workossim.TokenValue(workossim.Connection{ID: id}, serial) != found[0] {
		return -1
	}
	return serial
}

func TestTokensAreFoundInTexts(t *testing.T) {
	alice, bob := workossim.ID{Slug: "github", UserID: "alice"}, workossim.ID{Slug: "github", UserID: "bob"}
	text := "machine github.com password " + workossim.TokenValue(workossim.Connection{ID: alice, TokenPrefix: "gho_"}, 17) + "\n"
	for want, got := range map[int]int{
		17: serialOf(alice, text), -1: serialOf(bob, text), 0: serialOf(alice, "no token"),
	} {
		if got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}
