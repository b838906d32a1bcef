package eventfeed

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

const (
	// DefaultInterval is the default of spec.events.pollInterval.
	DefaultInterval = 15 * time.Second
	// refusedInterval is the time between two requests while WorkOS refuses them. A person has to
	// change the rights of the API key.
	refusedInterval = 10 * time.Minute
	// share divides requestsPerMinute: requests for events take at most a quarter.
	share = 4
	// outage is how long requests must fail until the events count as no longer followed. A short
	// outage must not make all slow polls frequent.
	outage = 2 * time.Minute
)

// Feed holds the state of each PipesEnvironment. The zero Feed is empty and ready for use.
type Feed struct {
	mu      sync.Mutex
	streams map[types.NamespacedName]*stream
}

// stream is the state of one PipesEnvironment.
type stream struct {
	of     identity
	cursor cursor
	// basic: WorkOS does not know the newer types of events. newer: it has accepted them once.
	basic, newer bool
	// problem is why events are not followed. answered: WorkOS has answered at least once, so that
	// problem is known.
	problem  finding.Finding
	answered bool
	// failing is when the requests began to fail. Zero: the last one has not failed.
	failing time.Time
	// lost is when the events were no longer followed. Zero: they never were, or they are.
	lost time.Time
}

// identity is what a list of events depends on.
type identity struct {
	uid     types.UID
	baseURL string
	key     v1alpha1.SecretKeyReference
}

// Enabled reports whether the operator is to follow the events of an environment.
func Enabled(environment *v1alpha1.PipesEnvironment) bool {
	return environment.Spec.Events == nil || !environment.Spec.Events.Disabled
}

// Interval returns the time between two requests for events of an environment, which may make
// requestsPerMinute.
func Interval(environment *v1alpha1.PipesEnvironment, requestsPerMinute int) time.Duration {
	interval := DefaultInterval
	if events := environment.Spec.Events; events != nil && events.PollInterval != nil && events.PollInterval.Duration > 0 {
		interval = events.PollInterval.Duration
	}
	return max(interval, share*time.Minute/time.Duration(max(requestsPerMinute, 1)))
}

// Query returns what to ask for next.
func (f *Feed) Query(environment *v1alpha1.PipesEnvironment, now time.Time) workos.EventsQuery {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stream(environment)
	query := s.cursor.query(now)
	query.Basic = s.basic
	return query
}

// Received records the answer to the query that Query has returned. It returns the time until the
// next request, and whether the state that Followed and Problem report has changed. interval is
// the time between two requests while all is well.
func (f *Feed) Received(
	environment *v1alpha1.PipesEnvironment, answer workos.EventsAnswer, interval time.Duration, now time.Time,
) (wait time.Duration, changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stream(environment)
	before := *s
	wait = s.receive(answer, interval, now)
	return wait, before.problem != s.problem || before.answered != s.answered
}

// Unready records that the environment has no client, and therefore no events.
func (f *Feed) Unready(environment *v1alpha1.PipesEnvironment, now time.Time) (changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stream(environment)
	before := *s
	s.fail(finding.New(v1alpha1.EventsUnavailableReason,
		"The PipesEnvironment is not ready, so the operator cannot ask for events"), now)
	return before.problem != s.problem || before.answered != s.answered
}

// Followed reports whether the events of an environment are followed. If not, since is when that
// ended; zero if this process has never followed them. A process that has just started believes
// the status of the environment.
func (f *Feed) Followed(environment *v1alpha1.PipesEnvironment) (followed bool, since time.Time) {
	if !Enabled(environment) {
		return false, time.Time{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[client.ObjectKeyFromObject(environment)]
	if s == nil || !s.answered {
		return meta.IsStatusConditionTrue(environment.Status.Conditions, v1alpha1.EventsFollowedCondition), time.Time{}
	}
	return !s.problem.Present(), s.lost
}

// Problem returns why the events of an environment are not followed; no finding if they are. It
// returns false if that is not known yet.
func (f *Feed) Problem(environment *v1alpha1.PipesEnvironment) (problem finding.Finding, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[client.ObjectKeyFromObject(environment)]
	if s == nil || !s.answered || s.of != identityOf(environment) {
		return finding.Finding{}, false
	}
	return s.problem, true
}

// Forget drops a PipesEnvironment that was deleted, or that has events disabled.
func (f *Feed) Forget(name types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.streams, name)
}

// stream returns the stream of an environment. If the environment leads to another list of events
// than before, the stream begins again. The caller holds the lock.
func (f *Feed) stream(environment *v1alpha1.PipesEnvironment) *stream {
	name, of := client.ObjectKeyFromObject(environment), identityOf(environment)
	if f.streams == nil {
		f.streams = map[types.NamespacedName]*stream{}
	}
	s := f.streams[name]
	if s == nil || s.of != of {
		s = &stream{of: of}
		f.streams[name] = s
	}
	return s
}

func identityOf(environment *v1alpha1.PipesEnvironment) identity {
	return identity{environment.UID, environment.Spec.BaseURL, environment.Spec.APIKeySecretRef}
}
