package connection

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/finding"
)

// slowKeys counts reads. It answers none of them before released is closed.
type slowKeys struct {
	*keySecrets
	reads    atomic.Int32
	released chan struct{}
}

func (s *slowKeys) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	s.reads.Add(1)
	<-s.released
	return s.keySecrets.Get(ctx, key, object, options...)
}

// Many PipesTokens that need the same API key at the same time, as after a start, must read it
// only once.
func TestAPIKeyIsReadOnceForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, environment, connections, _ := connected()
		slow := &slowKeys{keySecrets: key, released: make(chan struct{})}
		connections.Reader = slow
		var calls sync.WaitGroup
		for range 10 {
			calls.Go(func() {
				upstream, version, problem, err := connections.Client(t.Context(), environment)
				if upstream == nil || version != 1 || problem.Present() || err != nil {
					t.Errorf("got %v, %d, %+v, %v", upstream, version, problem, err)
				}
			})
		}
		synctest.Wait()
		close(slow.released)
		calls.Wait()
		if reads := slow.reads.Load(); reads != 1 {
			t.Errorf("%d reads of the API key, want 1", reads)
		}
	})
}

// A PipesToken may find that the key can be read minutes before the next check of the
// PipesEnvironment.
func TestEnvironmentIsCheckedWhenAPipesTokenFindsItsKey(t *testing.T) {
	key, environment, connections, _ := connected()
	delete(key.secret.Data, "key")
	changed := 0
	connections.Changed = func(types.NamespacedName) { changed++ }
	for range 2 {
		if _, _, problem, err := connections.Client(t.Context(), environment); err != nil || problem.Reason != v1alpha1.APIKeyNotFoundReason {
			t.Fatalf("got %+v, %v", problem, err)
		}
	}
	if changed != 0 {
		t.Fatalf("checked %d times while nothing has changed", changed)
	}
	key.secret.ResourceVersion, key.secret.Data = "2", map[string][]byte{"key": []byte("sk_test_canary_first")}
	if _, _, problem, err := connections.Client(t.Context(), environment); err != nil || problem.Present() {
		t.Fatalf("got %+v, %v", problem, err)
	}
	if changed != 1 {
		t.Errorf("checked %d times, want once", changed)
	}
}

func TestAPIKeyIsCheckedRarelyWhereNobodyUsesIt(t *testing.T) {
	const short, most = 30 * time.Second, 5 * time.Minute
	for name, test := range map[string]struct {
		reason string
		used   bool
		want   []time.Duration
	}{
		"used":                 {"", true, []time.Duration{short, short, short, short, short, short}},
		"used, without a key":  {v1alpha1.APIKeyNotFoundReason, true, []time.Duration{short, short, short, short, short, short}},
		"unused":               {"", false, []time.Duration{short, time.Minute, 2 * time.Minute, 4 * time.Minute, most, most}},
		"forbidden, and used":  {v1alpha1.APIKeyForbiddenReason, true, []time.Duration{short, time.Minute, 2 * time.Minute, 4 * time.Minute, most, most}},
		"forbidden and unused": {v1alpha1.APIKeyForbiddenReason, false, []time.Duration{short, time.Minute, 2 * time.Minute, 4 * time.Minute, most, most}},
	} {
		t.Run(name, func(t *testing.T) {
			name := types.NamespacedName{Namespace: "home", Name: "production"}
			connections := &Registry{known: map[types.NamespacedName]*connection{name: {problem: finding.Finding{Reason: test.reason}}}}
			var waits []time.Duration
			for range test.want {
				waits = append(waits, connections.NextKeyCheck(name, test.used))
			}
			if !slices.Equal(waits, test.want) {
				t.Errorf("got %v, want %v", waits, test.want)
			}
			if wait := connections.NextKeyCheck(name, true); test.reason == "" && wait != short {
				t.Errorf("the first check of one that is used comes after %v", wait)
			}
		})
	}
}

// However many PipesEnvironments tenants create, the operator reads their keys at most ten times
// a second.
func TestChecksOfAPIKeysAreBounded(t *testing.T) {
	connections := &Registry{known: map[types.NamespacedName]*connection{}}
	perSecond := 0.
	for n := range 5000 {
		connections.known[types.NamespacedName{Namespace: "tenant", Name: fmt.Sprint(n)}] = &connection{}
	}
	for name := range connections.known {
		perSecond += 1 / connections.NextKeyCheck(name, true).Seconds()
	}
	if perSecond > 10.001 {
		t.Errorf("%.1f checks a second", perSecond)
	}
}
