//go:build reliability

package faults_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// crashPoint is a moment of a path at which the operator is killed: just before or just after the
// nth request of a kind takes effect. In both cases the operator gets no answer.
type crashPoint struct {
	what  string
	nth   int
	after bool
}

func (p crashPoint) String() string {
	when := "before"
	if p.after {
		when = "after"
	}
	return fmt.Sprintf("%s %s %d", when, p.what, p.nth)
}

// theCall is the name of the call to WorkOS in crash points.
const theCall = "the call to WorkOS"

// crashes counts the crash points that have been tried, over all paths. badCrashes counts those
// after which the end differed from the end without a crash.
var crashes, badCrashes atomic.Int64

// testCrashes runs each path once without a crash, to record its writes and its end, and then
// once for each moment at which the operator can be killed.
func testCrashes(t *testing.T, s *site) {
	t.Helper()
	jobs := make(chan path)
	var working sync.WaitGroup
	for i := range 6 {
		l := s.newLane(t, fmt.Sprintf("crash-%d", i))
		l.replica.mustStart(t)
		working.Go(func() {
			for p := range jobs {
				t.Run(p.name, func(t *testing.T) { l.crashEverywhere(t, p) })
			}
		})
	}
	for _, p := range slices.Concat(strangePaths, paths) {
		jobs <- p
	}
	close(jobs)
	working.Wait()
}

func (l *lane) crashEverywhere(t *testing.T, p path) {
	t.Helper()
	recorded := l.record(t, p)
	if p.quiet && len(recorded.points) > 0 {
		t.Errorf("it writes: %v", recorded.points)
	}
	if !p.quiet && len(recorded.points) == 0 {
		t.Error("it writes nothing")
	}
	for _, what := range append(recorded.points, recorded.calls...) {
		for _, after := range []bool{false, true} {
			point := crashPoint{what: what.what, nth: what.nth, after: after}
			if !t.Run(point.String(), func(t *testing.T) { l.crashAt(t, p, point, recorded) }) {
				badCrashes.Add(1)
			}
		}
	}
}

// recording is what the operator does on a path without a crash.
type recording struct {
	points, calls []crashPoint
	ending        ending
}

// record runs a path without a crash.
func (l *lane) record(t *testing.T, p path) recording {
	t.Helper()
	s := l.newScene(t, p.change)
	defer s.end()
	p.begins(s)
	counted := s.count(crashPoint{}, nil)
	p.goes(s)
	s.eventually(func(g Gomega) {
		// Check the events first: the last event follows the last write of the status, so the
		// state that is read after it is the end, and not an intermediate state that looks like
		// the end.
		g.Expect(counted.events()).To(Equal(p.events), "events")
		p.expectEnd(g, s)
	})
	points, calls := counted.stop()
	return recording{points: points, calls: calls, ending: s.ending(s.g)}
}

// crashAt runs a path with a crash.
func (l *lane) crashAt(t *testing.T, p path, point crashPoint, recorded recording) {
	t.Helper()
	s := l.newScene(t, p.change)
	defer s.end()
	p.begins(s)
	process := l.replica.running()
	counted := s.count(point, process.Kill)
	p.goes(s)
	select {
	case <-process.Ended:
	case <-time.After(soon):
		t.Fatalf("the path did not come to this point")
	}
	crashes.Add(1)
	l.replica.mustStart(t)
	s.eventually(func(g Gomega) {
		p.expectEnd(g, s)
		g.Expect(s.ending(g)).To(Equal(recorded.ending))
	})
	if _, calls := counted.stop(); len(calls) > len(recorded.calls)+1 {
		t.Errorf("%d calls to WorkOS, and without the crash it were %d", len(calls), len(recorded.calls))
	}
}

func (p path) begins(s *scene) {
	if p.begin != nil {
		p.begin(s)
	} else {
		s.synced()
		s.rests()
	}
	secret := s.readSecret(s.g)
	s.serial = serialIn(s.connection, secret)
	if secret != nil && s.serial > 0 {
		// Times are stored in whole seconds, so a change within the second of the first write
		// might leave no trace.
		obtained := secret.Annotations[tokensecret.ObtainedAtAnnotation]
		s.eventually(func(g Gomega) { g.Expect(time.Now().UTC().Format(time.RFC3339)).NotTo(Equal(obtained)) })
	}
}

func (p path) goes(s *scene) {
	if p.happens != nil {
		p.happens(s)
	}
}

// expectEnd succeeds when the path has reached its end.
func (p path) expectEnd(g Gomega, s *scene) {
	s.reload(g)
	ready := harness.ReadyOf(s.token)
	g.Expect(ready.Reason).To(Equal(p.reason))
	g.Expect(s.token.Status.ObservedGeneration).To(Equal(s.token.Generation))
	g.Expect(s.held(g)).To(Equal(p.holds))
	if p.holds == newToken || p.holds == oldToken {
		g.Expect(s.ending(g).statusFits).To(BeTrue())
	}
	if p.also != nil {
		p.also(g, s)
	}
}

// held describes what the Secret holds now.
func (s *scene) held(g Gomega) content {
	secret := s.readSecret(g)
	serial := serialIn(s.connection, secret)
	switch {
	case secret == nil:
		return nothing
	case !metav1.IsControlledBy(secret, s.token):
		return foreign
	case serial == 0:
		return noToken
	case serial > s.serial:
		return newToken
	case serial == s.serial:
		return oldToken
	default:
		return content(fmt.Sprintf("token %d, where token %d was in the beginning", serial, s.serial))
	}
}

// ending is the final state of a path, without the details that differ from run to run.
type ending struct {
	conditions map[string]string
	kstatus    status.Status
	// statusFits: the status shows the expiry of the token that is in the Secret.
	statusFits bool
	bound      bool
	keys       []string
	labels     map[string]string
	annotated  []string
}

func (s *scene) ending(g Gomega) ending {
	e := ending{conditions: map[string]string{}, kstatus: kstatusOf(s.t, s.token), bound: s.token.Status.Binding != nil}
	for _, c := range s.token.Status.Conditions {
		e.conditions[c.Type] = fmt.Sprintf("%s %s", c.Status, c.Reason)
		g.Expect(c.ObservedGeneration).To(Equal(s.token.Generation))
	}
	secret := s.readSecret(g)
	if secret == nil {
		return e
	}
	e.statusFits = s.token.Status.ExpirationTime == nil
	if s.token.Status.ExpirationTime != nil {
		expires, err := time.Parse(time.RFC3339, expiryOf(secret))
		e.statusFits = err == nil && s.token.Status.ExpirationTime.Time.Equal(expires.Truncate(time.Second))
	}
	e.keys = slices.Sorted(maps.Keys(secret.Data))
	e.annotated = slices.Sorted(maps.Keys(secret.Annotations))
	e.labels = maps.Clone(secret.Labels)
	delete(e.labels, v1alpha1.TokenLabel) // each scene has other names
	return e
}

// counter counts the requests that the operator makes for a scene, and crashes it at one point.
type counter struct {
	scene *scene
	crash func()
	at    crashPoint

	mu     sync.Mutex
	counts map[string]int
	points []crashPoint
	calls  []crashPoint
}

// count starts to count. crash is called once, at the point at.
func (s *scene) count(at crashPoint, crash func()) *counter {
	c := &counter{scene: s, at: at, crash: sync.OnceFunc(func() {
		if crash != nil {
			crash()
		}
	}), counts: map[string]int{}}
	s.replica.door.set("counter", c.write)
	s.upstream.set(s.connection.ID, c.call)
	return c
}

// stop stops counting, and returns the crash points that were counted.
func (c *counter) stop() (writes, calls []crashPoint) {
	c.scene.replica.door.set("counter", nil)
	c.scene.upstream.set(c.scene.connection.ID, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.points, c.calls
}

func (c *counter) write(r request) *intervention {
	if !r.isWrite() || r.about != c.scene.about && r.about != c.scene.aboutEnvironment {
		return nil
	}
	return c.note(r.String(), &c.points)
}

func (c *counter) call() *intervention { return c.note(theCall, &c.calls) }

func (c *counter) note(what string, list *[]crashPoint) *intervention {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
	*list = append(*list, crashPoint{what: what, nth: c.counts[what]})
	switch {
	case c.at.what != what || c.at.nth != c.counts[what]:
		return nil
	case c.at.after:
		return &intervention{after: c.crash}
	default:
		return &intervention{before: c.crash, hangUp: true}
	}
}

// events is the number of events that have been written so far.
func (c *counter) events() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts["POST events"]
}
