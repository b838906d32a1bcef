package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/ledger"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// The watch for expired tokens calls Expired twice a second, and must not report the same token
// again.
func TestATokenThatExpiredIsReportedOnce(t *testing.T) {
	tokens, name := &ledger.Ledger{}, types.NamespacedName{Namespace: "agents", Name: "alice"}
	synced := func(expires time.Time) ledger.Entry {
		return ledger.Entry{Reason: v1alpha1.TokenSyncedReason, Expires: expires}
	}
	tokens.Record(name, synced(noon.Add(time.Minute)))
	for _, step := range []struct {
		at   time.Duration
		want int
	}{{59 * time.Second, 0}, {time.Minute, 1}, {time.Minute, 0}, {time.Hour, 0}} {
		if got := tokens.Expired(noon.Add(step.at)); len(got) != step.want {
			t.Errorf("after %s: %v, want %d", step.at, got, step.want)
		}
	}
	tokens.Record(name, synced(noon.Add(2*time.Hour)))
	if got := tokens.Expired(noon.Add(2 * time.Hour)); len(got) != 1 {
		t.Errorf("the next token: %v", got)
	}
	tokens.Record(name, synced(time.Time{}))
	if got := tokens.Expired(noon.Add(9 * time.Hour)); len(got) != 0 {
		t.Errorf("a token without an expiry: %v", got)
	}
}

// Due and Expires are by WorkOS's clock, and the caller goes by its own.
func TestTimesAreThoseOfTheCallersClock(t *testing.T) {
	tokens, name := &ledger.Ledger{}, types.NamespacedName{Namespace: "agents", Name: "alice"}
	tokens.Record(name, ledger.Entry{
		Reason: v1alpha1.TokenSyncedReason, Due: noon, Expires: noon.Add(time.Minute), Skew: 30 * time.Second,
	})
	if got := tokens.Expired(noon.Add(29 * time.Second)); len(got) != 0 {
		t.Errorf("%v has expired a second too early", got)
	}
	if got := tokens.Expired(noon.Add(30 * time.Second)); len(got) != 1 {
		t.Errorf("%v has expired, want alice", got)
	}
	tokens.Each(func(_ types.NamespacedName, e ledger.Entry) {
		if want := noon.Add(-30 * time.Second); !e.LocalDue().Equal(want) {
			t.Errorf("due at %s, want %s", e.LocalDue(), want)
		}
	})
}

// The first reconcile of an object records nothing over what is known already.
func TestEnterKeepsWhatIsKnown(t *testing.T) {
	tokens, name := &ledger.Ledger{}, types.NamespacedName{Namespace: "agents", Name: "alice"}
	tokens.Record(name, ledger.Entry{Reason: "first", Due: noon})
	tokens.Enter(name, ledger.Entry{Reason: "second"})
	tokens.Each(func(_ types.NamespacedName, e ledger.Entry) {
		if e.Reason != "first" || !e.Due.Equal(noon) {
			t.Errorf("got %+v", e)
		}
	})
}

// Only the renewals of the environment itself count.
func TestDemandIsThatOfOneEnvironment(t *testing.T) {
	tokens := &ledger.Ledger{}
	production := types.NamespacedName{Namespace: "home", Name: "production"}
	for i := range 120 {
		tokens.Record(types.NamespacedName{Name: fmt.Sprint("ours-", i)}, ledger.Entry{Environment: production, Every: time.Hour})
		tokens.Record(types.NamespacedName{Name: fmt.Sprint("theirs-", i)}, ledger.Entry{Every: time.Hour})
	}
	if got := tokens.Demand(production, noon); got < 1.99 || got > 2.01 {
		t.Errorf("%.2f requests a minute, want 2", got)
	}
}

func TestCountKnowsThePipesTokensOfEachEnvironment(t *testing.T) {
	home, other := types.NamespacedName{Namespace: "home", Name: "a"}, types.NamespacedName{Namespace: "home", Name: "b"}
	waits := func(reason string) bool { return reason == v1alpha1.NotInstalledReason }
	l := &ledger.Ledger{}
	name := func(n string) types.NamespacedName { return types.NamespacedName{Namespace: "team", Name: n} }
	l.Enter(name("1"), ledger.Entry{Reason: v1alpha1.NotInstalledReason})
	l.Record(name("1"), ledger.Entry{Reason: v1alpha1.NotInstalledReason, Environment: home})
	l.Record(name("2"), ledger.Entry{Reason: v1alpha1.TokenSyncedReason, Failing: v1alpha1.NotInstalledReason, Environment: home})
	l.Record(name("3"), ledger.Entry{Reason: v1alpha1.TokenSyncedReason, Environment: home})
	l.Record(name("4"), ledger.Entry{Reason: v1alpha1.NotInstalledReason, Environment: other})
	expect := func(want int) {
		t.Helper()
		if got := l.Count(home, waits); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	expect(2)
	l.Record(name("1"), ledger.Entry{Reason: v1alpha1.NotInstalledReason, Environment: home, Every: time.Hour})
	expect(2)
	l.Record(name("1"), ledger.Entry{Reason: v1alpha1.TokenSyncedReason, Environment: home})
	expect(1)
	l.Forget(name("2"))
	l.Forget(name("2"))
	expect(0)
	if got := l.Count(types.NamespacedName{}, func(string) bool { return true }); got != 0 {
		t.Errorf("the entry without an environment still counts: %d", got)
	}
}
