package connection

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// connection is the connection of one environment.
type connection struct {
	of      identity
	key     keyState
	client  *workos.Client
	problem finding.Finding
	// degraded: the environment was not usable, or its clock skew has changed. Its PipesTokens
	// have not been requeued since then.
	degraded bool
	clocks   clockState
	upstream upstreamState
	// quiet counts key checks in a row at which no PipesToken used the environment, or the
	// operator had no permission to read the Secret.
	quiet int
	// version changes whenever the connection changes.
	version uint64
}

// identity is what a connection was made from, apart from the key.
type identity struct {
	uid        types.UID
	generation int64
	baseURL    string
}

// keyState is the state of the API key.
type keyState struct {
	// version is the UID and resourceVersion of the Secret that the key was read from.
	version string
	// rejected: WorkOS has refused the key.
	rejected bool
}

// clockState is what is known of the clock of WorkOS.
type clockState struct {
	// skew is how far that clock is ahead. timed is the skew that the PipesTokens were last
	// notified of.
	skew  renewal.Skew
	timed time.Duration
}

// upstreamState is what is known of the availability of WorkOS.
type upstreamState struct {
	// trouble is the reason why calls are held back; nil if they are not. heard: this process
	// has sent at least one request, therefore trouble is known.
	trouble *workos.Trouble
	heard   bool
	// since is when the health of this connection was first checked. first is when the health of
	// the environment was first checked.
	since, first time.Time
}

// isOf reports whether the connection was made for this environment and its current generation.
func (s *connection) isOf(environment *v1alpha1.PipesEnvironment) bool {
	return s.of.uid == environment.UID && s.of.generation == environment.Generation
}

// hear records an answer that arrived at now. It reports whether the answer changes the state of
// the connection.
func (s *connection) hear(answer workos.Answer, skewIsTold bool, now time.Time) bool {
	before := *s
	s.upstream.trouble = nil
	if trouble, troubled := s.client.Trouble(); troubled {
		s.upstream.trouble = &trouble
	}
	s.upstream.heard = s.upstream.heard || answer.Sent
	switch {
	case answer.Outcome == workos.OutcomeKeyRejected:
		s.key.rejected, s.degraded = true, true
	case answer.Outcome.Authoritative():
		s.key.rejected = false
	}
	clocks := s.learnClock(answer, skewIsTold, now)
	return !ptr.Equal(s.upstream.trouble, before.upstream.trouble) ||
		s.upstream.heard != before.upstream.heard || s.key.rejected != before.key.rejected || clocks
}

// inherit takes over what the connection before has learned, and what still holds.
func (s *connection) inherit(old *connection) {
	s.upstream.first, s.degraded = old.upstream.first, s.degraded || old.degraded
	if old.of.uid == s.of.uid && old.of.baseURL == s.of.baseURL {
		s.clocks.skew, s.clocks.timed = old.clocks.skew, old.clocks.timed
	}
	if old.problem == s.problem {
		s.quiet = old.quiet
	}
}

// same reports whether fresh describes the same environment, the same API key and the same
// problem.
func (s *connection) same(fresh *connection) bool {
	return s.of.uid == fresh.of.uid && s.of.generation == fresh.of.generation && s.key.version == fresh.key.version &&
		(s.client != nil && !fresh.problem.Present() || s.problem == fresh.problem && fresh.problem.Present())
}
