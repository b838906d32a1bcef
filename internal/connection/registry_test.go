package connection

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// keySecrets returns the same Secret for every name.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

type keySecrets struct {
	client.Reader
	secret corev1.Secret
}

func (k *keySecrets) Get(_ context.Context, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	k.secret.DeepCopyInto(object.(*corev1.Secret))
	return nil
}

// connected returns an environment with an API key, its Connections, and a counter of how often
// its PipesTokens were notified that it can be used again.
func connected() (key *keySecrets, environment *v1alpha1.PipesEnvironment, connections *Registry, told *int) {
	key, told = &keySecrets{secret: corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1"}, Data: map[string][]byte{"key": []byte("sk_test_canary_first")},
	}}, new(int)
	connections = &Registry{
		Reader: key, AllowedHosts: []string{"api.workos.com"},
		Upstream:  workos.New(workos.Options{Clock: testingclock.NewFakePassiveClock(noon)}),
		Recovered: func(context.Context, *v1alpha1.PipesEnvironment) { *told++ },
	}
	return key, &v1alpha1.PipesEnvironment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "production"},
		Spec: v1alpha1.PipesEnvironmentSpec{
			BaseURL: "https://api.workos.com", APIKeySecretRef: v1alpha1.SecretKeyReference{Name: "workos", Key: "key"},
		},
	}, connections, told
}

// expectLook does the work of a reconcile of a PipesEnvironment, and expects that nothing is
// wrong.
func expectLook(t *testing.T, connections *Registry, environment *v1alpha1.PipesEnvironment) {
	t.Helper()
	problem, err := connections.Check(t.Context(), environment)
	if err != nil || problem.Present() {
		t.Fatalf("got %+v, %v", problem, err)
	}
	connections.Notify(t.Context(), environment, problem)
}

// A rejected key may be replaced before the status of the PipesEnvironment reports the rejection.
// Then the PipesTokens that failed with the old key must still be notified; otherwise they would
// wait for their next slow poll.
func TestPipesTokensAreToldOfAKeyThatFollowsARefusedOneAtOnce(t *testing.T) {
	key, environment, connections, told := connected()
	expectLook(t, connections, environment)
	if *told != 0 {
		t.Fatalf("nothing was wrong, and it was told %d times that it is well again", *told)
	}
	connections.Heard(environment, connections.Version(client.ObjectKeyFromObject(environment)), workos.Answer{Outcome: workos.OutcomeKeyRejected, Sent: true}, noon)
	key.secret.ResourceVersion, key.secret.Data["key"] = "2", []byte("sk_test_canary_next")
	for range 2 {
		expectLook(t, connections, environment)
	}
	if *told != 1 {
		t.Errorf("told %d times", *told)
	}
}

// A process starts with a status that reports a rejected key. WorkOS may accept the key before
// the first reconcile of the PipesEnvironment.
func TestPipesTokensAreToldOfAKeyThatIsAcceptedAfterAll(t *testing.T) {
	_, environment, connections, told := connected()
	environment.Status.Conditions = []metav1.Condition{conditions.New(v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.APIKeyRejectedReason, "x")}
	_, version, problem, err := connections.Client(t.Context(), environment)
	if err != nil || problem.Present() {
		t.Fatalf("got %+v, %v", problem, err)
	}
	connections.Heard(environment, version, workos.Answer{Outcome: workos.OutcomeToken, Sent: true}, noon)
	for range 2 {
		expectLook(t, connections, environment)
	}
	if *told != 1 {
		t.Errorf("told %d times", *told)
	}
}

// The message contains the time until which WorkOS has asked to wait.
func TestTimeThatWorkOSAskedForIsReported(t *testing.T) {
	until := noon.Add(3 * time.Hour)
	for _, trouble := range []workos.Trouble{{Outcome: workos.OutcomeRateLimited, Until: until}, {Outcome: workos.OutcomeUnavailable, Until: until}} {
		if got := troubleOf(trouble); !strings.Contains(got.Text(), "until 2026-11-23T15:00:00Z") {
			t.Errorf("got %q", got.Text())
		}
	}
}
