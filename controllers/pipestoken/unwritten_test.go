package pipestoken

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func objectIn(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func TestWhatIsWrittenAgainCallsTheOthersOfItsNamespace(t *testing.T) {
	u := &unwritten{}
	for i, want := range []int{1, 2, 2} {
		if got := u.failed(objectIn("a", []string{"x", "y", "y"}[i])); got != want {
			t.Errorf("failure %d: %d wait, want %d", i, got, want)
		}
	}
	u.failed(objectIn("b", "z"))
	if others := u.worked(objectIn("a", "stranger"), noon); others != nil || !u.recoveredAt("a").IsZero() {
		t.Errorf("a write of one that did not wait calls %v", others)
	}
	if others := u.worked(objectIn("a", "x"), noon); len(others) != 1 || others[0] != objectIn("a", "y") {
		t.Errorf("called %v, want y of the same namespace", others)
	}
	if !u.recoveredAt("a").Equal(noon) || !u.recoveredAt("b").IsZero() {
		t.Errorf("recovered at %s and %s", u.recoveredAt("a"), u.recoveredAt("b"))
	}
	u.forget(objectIn("a", "y"))
	if crowd := u.failed(objectIn("a", "x")); crowd != 1 {
		t.Errorf("%d wait, want 1: one was forgotten", crowd)
	}
}

func TestAnOverwriteIsTrustedForAWhileInItsNamespace(t *testing.T) {
	u := &unwritten{}
	u.overwrote("a", noon)
	for at, want := range map[time.Duration]bool{-time.Second: true, 0: false, time.Second: false} {
		if got := u.overwroteSince("a", noon.Add(at)); got != want {
			t.Errorf("since %s: %v", at, got)
		}
	}
	if u.overwroteSince("b", noon.Add(-time.Hour)) {
		t.Error("an overwrite counts in another namespace")
	}
}

// Namespaces are created and deleted all the time, so the memory of them must be bounded.
func TestNamespacesWithoutTroubleAreForgotten(t *testing.T) {
	u := &unwritten{}
	u.failed(objectIn("waits", "x"))
	for i := range 5000 {
		u.overwrote(fmt.Sprintf("ns-%d", i), noon.Add(time.Duration(i)*time.Second))
	}
	if len(u.namespaces) > 1100 {
		t.Errorf("%d namespaces are remembered", len(u.namespaces))
	}
	if crowd := u.failed(objectIn("waits", "y")); crowd != 2 {
		t.Errorf("%d wait, want 2: those who wait are not forgotten", crowd)
	}
}
