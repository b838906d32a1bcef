package controllers

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// keySecrets reads the same Secret, whatever its name.
type keySecrets struct {
	client.Reader
	secret corev1.Secret
}

func (k *keySecrets) Get(_ context.Context, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	k.secret.DeepCopyInto(object.(*corev1.Secret))
	return nil
}

// A key may be replaced so soon after WorkOS has refused it that nobody has told of that yet. The PipesTokens that were refused with it
// would then wait for their next poll.
func TestPipesTokensAreToldOfAKeyThatFollowsARefusedOneAtOnce(t *testing.T) {
	key := &keySecrets{secret: corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1"}, Data: map[string][]byte{"key": []byte("sk_test_canary_first")},
	}}
	told := 0
	connections := &Connections{
		Reader: key, AllowedHosts: []string{"api.workos.com"},
		Upstream:  workos.New(workos.Options{Clock: testingclock.NewFakePassiveClock(noon)}),
		recovered: func(context.Context, *v1alpha1.PipesEnvironment) { told++ },
	}
	environment := &v1alpha1.PipesEnvironment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "production"},
		Spec: v1alpha1.PipesEnvironmentSpec{
			BaseURL: "https://api.workos.com", APIKeySecretRef: v1alpha1.SecretKeyReference{Name: "workos", Key: "key"},
		},
	}
	// look is what the pass of the PipesEnvironment does.
	look := func() (reason string) {
		t.Helper()
		problem, err := connections.check(t.Context(), environment)
		if err != nil {
			t.Fatal(err)
		}
		connections.tell(t.Context(), environment, problem)
		return problem.reason
	}
	if reason := look(); reason != "" || told != 0 {
		t.Fatalf("the first look found %q, and told %d times", reason, told)
	}

	connections.heard(environment, connections.versionOf(client.ObjectKeyFromObject(environment)), workos.Answer{Outcome: workos.OutcomeKeyRejected, Sent: true})
	key.secret.ResourceVersion, key.secret.Data["key"] = "2", []byte("sk_test_canary_next")
	if reason := look(); reason != "" || told != 1 {
		t.Errorf("with the next key there is %q, and it was told %d times", reason, told)
	}
	if look(); told != 1 {
		t.Errorf("told %d times", told)
	}
}
