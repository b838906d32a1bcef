package eventlimit

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// counter counts events by the namespace of their object.
type counter map[string]int

func (c counter) Eventf(regarding, _ runtime.Object, _, _, _, _ string, _ ...any) {
	c[regarding.(*v1alpha1.PipesToken).Namespace]++
}

func eventOf(recorder *Recorder, namespace string) {
	token := &v1alpha1.PipesToken{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "token"}}
	recorder.Eventf(token, nil, "Normal", "TokenSynced", "SyncToken", "said")
}

// A namespace with too many events must not use up the events of another namespace.
func TestEventsAreLimitedForEachNamespace(t *testing.T) {
	clock, recorded := testingclock.NewFakePassiveClock(time.Unix(1_800_000_000, 0)), counter{}
	recorder := NewRecorder(recorded, clock)
	for range 5 * eventsBurst {
		eventOf(recorder, "noisy")
	}
	eventOf(recorder, "quiet")
	if recorded["noisy"] != eventsBurst || recorded["quiet"] != 1 {
		t.Errorf("recorded %v", recorded)
	}
	clock.SetTime(clock.Now().Add(10 * time.Second))
	for range 100 {
		eventOf(recorder, "noisy")
	}
	if got := recorded["noisy"] - eventsBurst; got != 10*eventsPerSecond {
		t.Errorf("10 s later %d more are recorded", got)
	}
}

func TestLimitersOfEventsHaveAnEnd(t *testing.T) {
	recorder := NewRecorder(counter{}, testingclock.NewFakePassiveClock(time.Unix(1_800_000_000, 0)))
	for i := range 3 * mostEventNamespaces {
		eventOf(recorder, fmt.Sprint("namespace-", i))
	}
	if len(recorder.limiters) > mostEventNamespaces {
		t.Errorf("%d are kept", len(recorder.limiters))
	}
}
