//go:build reliability

package faults_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	programs "github.com/pipes-operator/pipes-operator/hack/process"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// takeover bounds how long it takes until another replica works after a leader is lost without
// releasing its Lease: 10 seconds until the Lease expires, up to 2.2 until another replica
// notices that, and the start of a process.
const takeover = 45 * time.Second

// electing returns the flags of replicas that elect a leader.
func electing(id string) []string {
	return []string{"--leader-elect", "--leader-election-id=" + id, "--leader-election-namespace=" + harness.Namespace}
}

// testZombies stops the leader for longer than its Lease, and resumes it after another replica
// has become the leader: once in the middle of two reconciles, and once when it is idle.
func testZombies(t *testing.T, s *site) {
	t.Helper()
	l := s.newLane(t, "zombie", electing("zombie")...)
	first, second := l.replica, l.another(t, "zombie-standby", electing("zombie")...)
	first.mustStart(t)
	inDoor, atWorkOS, idle := l.newScene(t, nil), l.newScene(t, nil), l.newScene(t, nil)
	for _, scene := range []*scene{inDoor, atWorkOS, idle} {
		scene.synced()
	}
	second.mustStart(t)

	lateWrite, answer := inDoor.holdWrite(), atWorkOS.holdAnswer()
	inDoor.requestRefresh()
	atWorkOS.requestRefresh()
	<-lateWrite.held
	<-answer.held
	first.pause()
	paused := time.Now()
	// The next token is the token that is held back.
	inDoor.renewedWithin(takeover, 2)
	atWorkOS.renewedWithin(takeover, 2)
	lateWrite.release()
	NewWithT(t).Eventually(func() bool {
		return slices.ContainsFunc(lateWrites(first, paused), func(w write) bool {
			return w.about == inDoor.about && w.resource == "secrets" && w.status == http.StatusConflict
		})
	}, soon, often).Should(BeTrue(), "the API server refuses the late write")
	answer.release()
	first.resume()
	expectZombieEnds(t, first)
	t.Logf("a leader that was stopped was replaced, and had ended %s after it was stopped", time.Since(paused).Round(time.Second))
	inDoor.renewedWithin(often, 2)
	atWorkOS.renewedWithin(often, 2)

	if calls := l.upstream.RequestsFor(idle.connection.ID); len(calls) != 1 {
		t.Errorf("a failover costs a token that is not due no call, and it was asked for %d times: %+v", len(calls), calls)
	}

	first.mustStart(t)
	second.pause()
	paused = time.Now()
	idle.requestRefresh()
	idle.renewedWithin(takeover, 1)
	second.resume()
	expectZombieEnds(t, second)
	t.Logf("an idle one, and had ended %s after it was stopped", time.Since(paused).Round(time.Second))
	idle.requestRefresh()
	idle.renewedWithin(soon, 2)
}

// holdWrite holds the next write of the token, in the door of the first replica.
func (s *scene) holdWrite() *hold {
	h := newHold(s.t)
	s.replica.door.set("hold", func(r request) *intervention {
		if r.method == http.MethodPatch && !r.dryRun && r.resource == "secrets" && r.about == s.about && h.takes() {
			return &intervention{before: h.wait}
		}
		return nil
	})
	return h
}

// holdAnswer holds the answer of WorkOS to the next call.
func (s *scene) holdAnswer() *hold {
	h := newHold(s.t)
	s.upstream.set(s.connection.ID, func() *intervention {
		if h.takes() {
			return &intervention{after: h.wait}
		}
		return nil
	})
	return h
}

// expectZombieEnds waits until a process that has lost its Lease has ended. The process tries to
// renew the Lease for 8 seconds before it gives up, and continues to work during that time. It
// then decides on the current state, as any process does. The judges check that it breaks no
// promise.
func expectZombieEnds(t *testing.T, r *replica) {
	t.Helper()
	select {
	case <-r.running().Ended:
	case <-time.After(soon):
		t.Fatalf("the zombie goes on\n%s", programs.Tail(r.log, 40))
	}
}

// lateWrites returns the writes that were answered after a time.
func lateWrites(r *replica, after time.Time) []write {
	var late []write
	for _, w := range r.door.written() {
		if w.at.After(after) {
			late = append(late, w)
		}
	}
	return late
}

// renewedWithin waits until the Secret holds a token whose serial is at least by higher than at
// the beginning.
func (s *scene) renewedWithin(limit time.Duration, by int) {
	s.t.Helper()
	s.g.Eventually(func(g Gomega) {
		g.Expect(serialIn(s.connection, s.readSecret(g))).To(BeNumerically(">=", s.serial+by))
	}, limit, often).Should(Succeed())
}

// hold holds the first request that arrives until it is released, at the latest at the end of the
// test.
type hold struct {
	once     sync.Once
	held     chan struct{}
	released chan struct{}
	release  func()
}

func newHold(t *testing.T) *hold {
	t.Helper()
	h := &hold{held: make(chan struct{}), released: make(chan struct{})}
	h.release = sync.OnceFunc(func() { close(h.released) })
	t.Cleanup(h.release)
	return h
}

// takes reports whether this is the first call.
func (h *hold) takes() bool {
	first := false
	h.once.Do(func() { first = true })
	return first
}

func (h *hold) wait() {
	close(h.held)
	<-h.released
}
