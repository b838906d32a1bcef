//go:build reliability

package faults_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// obstruction is one fault between a replica and the API server, or between a replica and WorkOS.
type obstruction struct {
	name string
	// begins starts the fault and ends stops it.
	begins func(*lane) error
	ends   func(*lane) error
}

// rules are the faults of an API server, by name.
var rules = map[string]rule{
	"throttled":                     answering(nil, refusal{status: http.StatusTooManyRequests, reason: "TooManyRequests", retryAfter: "1"}),
	"internal errors":               answering(nil, refusal{status: http.StatusInternalServerError, reason: "InternalError"}),
	"unavailable":                   answering(nil, refusal{status: http.StatusServiceUnavailable, reason: "ServiceUnavailable"}),
	"watches refused":               answering(isWatch, refusal{status: http.StatusServiceUnavailable, reason: "ServiceUnavailable"}),
	"watches too old at once":       answering(isWatch, refusal{status: http.StatusGone, reason: "Expired"}),
	"watches too old after a while": answering(isWatch, refusal{status: http.StatusGone, reason: "Expired", inStream: true}),
	"slow":                          func(request) *intervention { return &intervention{before: func() { <-time.After(time.Second) }} },
	"answers to writes lost": func(r request) *intervention {
		if r.isWrite() && !r.isLease() {
			return &intervention{loses: true}
		}
		return nil
	},
}

// obstructions returns all obstructions.
func obstructions() (all []obstruction) {
	for _, name := range sortedKeys(rules) {
		all = append(all, obstruction{name, obstructing(rules[name]), undo})
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

// obstructing makes the door use a rule. It also ends the open watches, so that the rule applies
// to them too.
func obstructing(r rule) func(*lane) error {
	return func(l *lane) error {
		l.replica.door.set("obstruction", r)
		l.replica.door.cutWatches()
		return nil
	}
}

// answering makes the door answer instead of the API server. If which is nil, it answers every
// request.
func answering(which func(request) bool, answer refusal) rule {
	return func(r request) *intervention {
		if which != nil && !which(r) {
			return nil
		}
		return &intervention{answer: &answer}
	}
}

func undo(l *lane) error {
	l.replica.door.set("obstruction", nil)
	return nil
}

// obstructed is how long each obstruction lasts: long enough for several attempts with growing
// delays.
const obstructed = 4 * time.Second

// testObstructions runs one obstruction after the other. The operator must do everything that
// users request during an obstruction when the obstruction is over.
func testObstructions(t *testing.T, s *site) {
	t.Helper()
	l := s.newLane(t, "obstructed")
	for _, o := range obstructions() {
		t.Run(o.name, func(t *testing.T) {
			// A process remembers for two minutes how often its watches have failed, and finally
			// waits up to a minute between attempts. So each obstruction gets a new process.
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

// testAPIServer restarts the API server, with and without its history. Without the history, a
// client that asks for the changes since a version gets the error that the version is too old. No
// other test may run at the same time.
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

// duringAndAfter creates a PipesToken, and requests the renewal of another PipesToken, during a
// fault. It expects that both are done after the fault.
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
			g.Expect(harness.ReadyOf(s.token).Reason).To(Equal(v1alpha1.TokenSyncedReason))
			g.Expect(s.token.Status.Conditions).NotTo(ContainElement(HaveField("Type", v1alpha1.RenewalFailedCondition)))
		}
		refreshHandled(g, old)
	})
	t.Logf("all well %s after it was over", time.Since(over).Round(time.Millisecond))
}
