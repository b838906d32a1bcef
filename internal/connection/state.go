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
	uid        types.UID
	generation int64
	// keyVersion is the UID and resourceVersion of the Secret that the key was read from.
	keyVersion string
	client     *workos.Client
	problem    finding.Finding
	// rejected: WorkOS has refused the key.
	rejected bool
	// degraded: the environment was not usable, or its clock skew has changed. Its PipesTokens
	// have not been requeued since then.
	degraded bool
	// baseURL is the base URL of WorkOS. skew is how far the clock of WorkOS is ahead. timed is
	// the skew that the PipesTokens were last notified of.
	baseURL string
	skew    renewal.Skew
	timed   time.Duration
	// trouble is the reason why calls are held back; nil if they are not. heard: this process
	// has sent at least one request, therefore trouble is known.
	trouble *workos.Trouble
	heard   bool
	// since is when the health of this connection was first checked. first is when the health of
	// the environment was first checked.
	since, first time.Time
	// quiet counts key checks in a row at which no PipesToken used the environment, or the
	// operator had no permission to read the Secret.
	quiet int
	// version changes whenever the connection changes.
	version uint64
}

// isOf reports whether the connection was made for this environment and its current generation.
func (s *connection) isOf(environment *v1alpha1.PipesEnvironment) bool {
	return s.uid == environment.UID && s.generation == environment.Generation
}

// hear records an answer that arrived at now. It reports whether the answer changes the state of
// the connection.
func (s *connection) hear(answer workos.Answer, skewIsTold bool, now time.Time) bool {
	before := *s
	s.trouble = nil
	if trouble, troubled := s.client.Trouble(); troubled {
		s.trouble = &trouble
	}
	s.heard = s.heard || answer.Sent
	switch {
	case answer.Outcome == workos.OutcomeKeyRejected:
		s.rejected, s.degraded = true, true
	case answer.Outcome.Authoritative():
		s.rejected = false
	}
	clocks := s.learnClock(answer, skewIsTold, now)
	return !ptr.Equal(s.trouble, before.trouble) || s.heard != before.heard || s.rejected != before.rejected || clocks
}

// inherit takes over what the connection before has learned, and what still holds.
func (s *connection) inherit(old *connection) {
	s.first, s.degraded = old.first, s.degraded || old.degraded
	if old.uid == s.uid && old.baseURL == s.baseURL {
		s.skew, s.timed = old.skew, old.timed
	}
	if old.problem == s.problem {
		s.quiet = old.quiet
	}
}

// same reports whether fresh describes the same environment, the same API key and the same
// problem.
func (s *connection) same(fresh *connection) bool {
	return s.uid == fresh.uid && s.generation == fresh.generation && s.keyVersion == fresh.keyVersion &&
		(s.client != nil && !fresh.problem.Present() || s.problem == fresh.problem && fresh.problem.Present())
}
