package pipestoken

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// crowdSize is the number of PipesTokens. Above 450 the number of polls does not depend on it, so
// the bound of 100,000 PipesTokens is also that of 600, and the test takes seconds.
const crowdSize = 600

// crowdBound is the most requests to WorkOS in any minute, with four for events.
const crowdBound = 30

// A crowd of PipesTokens wait for their users for days. The whole path from the observation to the
// next reconcile costs few calls and no write: after the first calls, after a restart, and after
// an hour without events.
func TestACrowdThatWaitsCostsFewCallsAndNoWrite(t *testing.T) {
	const day = 24 * time.Hour
	w := newCrowd(t, crowdSize)
	w.run(3 * time.Hour)
	// A PipesToken whose call waits for its turn says Pending first.
	first := w.store.written
	if first < crowdSize || first > 2*crowdSize {
		t.Fatalf("%d writes of a status, want one or two for each PipesToken", first)
	}
	meta.SetStatusCondition(&w.store.environment.Status.Conditions, metav1.Condition{
		Type: v1alpha1.EventsFollowedCondition, Status: metav1.ConditionTrue, Reason: v1alpha1.EventsReceivedReason,
	})
	w.run(day)
	w.expect("after the first calls", 3*time.Hour, day)
	w.start()
	w.run(2 * day)
	w.expect("after a restart", day, 2*day)
	w.upstream.ForbidEvents(true)
	w.run(2*day + time.Hour)
	w.upstream.ForbidEvents(false)
	// The operator asks again every ten minutes while WorkOS refuses.
	const followed = 2*day + 75*time.Minute
	w.run(followed)
	if calls := w.callsBetween(2*day, followed); calls < crowdSize {
		t.Errorf("%d calls in an hour without events: the slow polls have not come", calls)
	}
	w.run(3 * day)
	w.expect("after an hour without events", followed, 3*day)
	if w.store.written != first {
		t.Errorf("%d writes of a status although nothing has changed", w.store.written-first)
	}
}

// A user of the crowd whose event was lost is found by a poll, and the event of another user is
// heeded at once.
func TestALostEventOfACrowdIsFoundByAPoll(t *testing.T) {
	const n = 700
	w := newCrowd(t, n)
	w.run(time.Hour)
	first := w.store.written
	w.upstream.LoseEvents(1)
	w.upstream.SetState(workossim.ID{Slug: "github", UserID: "user_1"}, workossim.NeedsReauthorization)
	w.upstream.SetState(workossim.ID{Slug: "github", UserID: "user_2"}, workossim.Connected)
	w.upstream.SetState(workossim.ID{Slug: "github", UserID: "user_2"}, workossim.NeedsReauthorization)
	w.run(time.Hour + time.Minute)
	if w.store.written != first+1 {
		t.Errorf("%d statuses were written after a minute, want one", w.store.written-first)
	}
	w.run(6 * time.Hour)
	if w.store.written != first+2 {
		t.Errorf("%d statuses were written after some hours, want two", w.store.written-first)
	}
}

func (w *crowdWorld) callsBetween(from, to time.Duration) (calls int) {
	for minute := from / time.Minute; minute < to/time.Minute; minute++ {
		calls += w.perMinute[int(minute)]
	}
	return calls
}

// expect checks the requests to WorkOS in each minute of a span of time.
func (w *crowdWorld) expect(when string, from, to time.Duration) {
	w.t.Helper()
	most := 0
	for minute := from / time.Minute; minute < to/time.Minute; minute++ {
		most = max(most, w.perMinute[int(minute)])
	}
	w.t.Logf("%s: at most %d requests a minute, %.1f on average", when, most,
		float64(w.callsBetween(from, to))/(to-from).Minutes())
	if most > crowdBound {
		w.t.Errorf("%s: %d requests in a minute", when, most)
	}
}
