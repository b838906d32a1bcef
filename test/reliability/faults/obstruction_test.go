//go:build reliability

package faults_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// obstruction is one thing that can be wrong between a replica and the API server, or WorkOS, for a while.
type obstruction struct {
	name string
	// begins and ends it. wires are the one to the API server and the one to WorkOS.
	begins func(*lane) error
	ends   func(*lane) error
}

// obstructions are all of them.
func obstructions() []obstruction {
	all := []obstruction{
		{"throttled", answering(nil, refusal{status: http.StatusTooManyRequests, reason: "TooManyRequests", retryAfter: "1"}), undo},
		{"internal errors", answering(nil, refusal{status: http.StatusInternalServerError, reason: "InternalError"}), undo},
		{"unavailable", answering(nil, refusal{status: http.StatusServiceUnavailable, reason: "ServiceUnavailable"}), undo},
		{"watches refused", answering(isWatch, refusal{status: http.StatusServiceUnavailable, reason: "ServiceUnavailable"}), undo},
		{"watches too old at once", answering(isWatch, refusal{status: http.StatusGone, reason: "Expired"}), undo},
		{"watches too old after a while", answering(isWatch, refusal{status: http.StatusGone, reason: "Expired", inStream: true}), undo},
		{"slow", obstructing(func(request) *intervention { return &intervention{before: func() { <-time.After(time.Second) }} }), undo},
		{"answers to writes lost", obstructing(func(r request) *intervention {
			if r.isWrite() && !r.isLease() {
				return &intervention{loses: true}
			}
			return nil
		}), undo},
	}
	for _, bad := range toxics {
		all = append(all,
			obstruction{bad.kind + " on the way to the API server",
				func(l *lane) error { return l.replica.wire.poison(bad) }, func(l *lane) error { return l.replica.wire.heal(bad) }},
			obstruction{bad.kind + " on the way to WorkOS",
				func(l *lane) error { return l.workos.poison(bad) }, func(l *lane) error { return l.workos.heal(bad) }})
	}
	return all
}

func isWatch(r request) bool { return r.watch }

// obstructing has the door go by a rule. Watches that are open end, so that the rule holds for them as well.
func obstructing(r rule) func(*lane) error {
	return func(l *lane) error {
		l.replica.door.set("obstruction", r)
		l.replica.door.cutWatches()
		return nil
	}
}

// answering has the door answer in place of the API server; which nil: to everything.
func answering(which func(request) bool, answer refusal) func(*lane) error {
	return obstructing(func(r request) *intervention {
		if which != nil && !which(r) {
			return nil
		}
		return &intervention{answer: &answer}
	})
}

func undo(l *lane) error {
	l.replica.door.set("obstruction", nil)
	return nil
}

// obstructed is how long each lasts: several tries, with growing delays.
const obstructed = 4 * time.Second

// testObstructions has one after the other. What users ask for meanwhile is done when it is over.
func testObstructions(t *testing.T, s *site) {
	t.Helper()
	l := s.newLane(t, "obstructed")
	for _, o := range obstructions() {
		t.Run(o.name, func(t *testing.T) {
			// A process remembers for two minutes how often its watches have failed, and waits up to a minute between tries in the end.
			l.replica.kill()
			l.replica.mustStart(t)
			l.duringAndAfter(t, func() {
				if err := o.begins(l); err != nil {
					t.Fatal(err)
				}
			}, func() {
				if err := o.ends(l); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// testAPIServer has the API server restarted: with what it remembers of the past, and without, so that who asks for changes since a
// version is told that it is too old. Nothing else may be under way.
func testAPIServer(t *testing.T, s *site) {
	t.Helper()
	l := s.newLane(t, "restarted")
	l.replica.mustStart(t)
	for _, compacted := range []bool{false, true} {
		t.Run(fmt.Sprintf("compacted %t", compacted), func(t *testing.T) {
			old := l.newScene(t, nil)
			defer old.end()
			old.synced()
			s.plane.restartAPIServer(t, func() {
				if compacted {
					old.g.Expect(s.plane.etcd.compact(old.ctx)).To(Succeed())
				}
				<-time.After(obstructed)
			})
			fresh := l.newScene(t, nil)
			defer fresh.end()
			fresh.synced()
			old.requestRefresh()
			old.renewedWithin(soon, 1)
		})
	}
}

// duringAndAfter creates a PipesToken and asks for another one's renewal while something is wrong, and expects both to be done once
// it is over.
func (l *lane) duringAndAfter(t *testing.T, begins, ends func()) {
	t.Helper()
	old, fresh := l.newScene(t, nil), l.newScene(t, nil)
	defer old.end()
	defer fresh.end()
	old.synced()
	begins()
	old.requestRefresh()
	fresh.create()
	<-time.After(obstructed)
	ends()
	over := time.Now()
	old.renewedWithin(soon, 1)
	fresh.eventually(func(g Gomega) {
		for _, s := range []*scene{old, fresh} {
			s.reload(g)
			g.Expect(readyOf(s.token).Reason).To(Equal(v1alpha1.TokenSyncedReason))
			g.Expect(s.token.Status.Conditions).NotTo(ContainElement(HaveField("Type", v1alpha1.RenewalFailedCondition)))
		}
		refreshHandled(g, old)
	})
	t.Logf("all well %s after it was over", time.Since(over).Round(time.Millisecond))
}
