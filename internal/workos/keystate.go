package workos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// call is what makes two calls with the same key identical.
type call struct {
	base    string
	request Request
}

// String is unambiguous whatever the fields hold.
func (c call) String() string {
	return fmt.Sprintf("%q %q %q %q", c.base, c.request.Slug, c.request.UserID, c.request.OrganizationID)
}

// keyState is what all users of an API key share. It does not hold the key.
type keyState struct {
	flights singleflight.Group // by call

	mu     sync.Mutex
	limits map[string]int     // requests per minute, by owner
	needs  map[string]float64 // what renewals take of them
	budget *budget
	gates  gates
	// breakers are those of the integrations whose last call has failed.
	breakers map[string]*breaker
}

func newKeyState(requestsPerMinute int) *keyState {
	return &keyState{
		limits: map[string]int{}, needs: map[string]float64{},
		budget: newBudget(requestsPerMinute), gates: gates{}, breakers: map[string]*breaker{},
	}
}

// join lets owner use the key at no more than requestsPerMinute.
func (k *keyState) join(owner string, requestsPerMinute int, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.limits[owner] = requestsPerMinute
	k.applyLimit(now)
}

// leave takes owner's limit away. The last limit stays, for clients that have not been let go yet.
func (k *keyState) leave(owner string, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.limits, owner)
	delete(k.needs, owner)
	k.applyLimit(now)
}

func (k *keyState) applyLimit(now time.Time) {
	if len(k.limits) > 0 {
		k.budget.setLimit(slices.Min(slices.Collect(maps.Values(k.limits))), now)
	}
}

// need notes how many requests a minute owner needs, and returns how many all owners need together, and how many they have.
func (k *keyState) need(owner string, perMinute float64) (together float64, limit int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.needs[owner] = perMinute
	for _, need := range k.needs {
		together += need
	}
	return together, k.budget.limit
}

// idle says whether nobody uses the key and nothing about it needs to be remembered.
func (k *keyState) idle(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.limits) == 0 && k.budget.idle(now) && !k.gates.anyClosed(now)
}

// admit lets a call pass, charging the budget, or refuses it with the answer to give instead. Of one that has passed, ended is told the end.
func (k *keyState) admit(c call, turn Turn, now time.Time) (refusal Answer, refused bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if refusal, refused := k.gates.refusal(c, now); refused {
		return refusal, true
	}
	if wait := k.budget.take(c, turn, now); wait > 0 {
		return Answer{
			Outcome:    OutcomeHeld,
			Message:    "waiting for its turn within the requests per minute of the API key",
			RetryAfter: min(wait, maxRetryAfter),
		}, true
	}
	k.gates.pass(c, now)
	return Answer{}, false
}

// ended notes that a call which was let pass is over, whatever came of it.
func (k *keyState) ended(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.budget.end(now)
}

// settle learns from an answer that WorkOS gave to a call.
func (k *keyState) settle(c call, answer Answer, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	scope := integration(c)
	slowed, early := k.gates.closed(wholeKey, now), k.gates.closed(scope, now)
	k.gates.settle(c, answer, now)
	if answer.Outcome == OutcomeRateLimited && !slowed {
		k.budget.slowDown(now)
	}
	if early {
		return // This call left before the gate was closed, and tells nothing new.
	}
	if !failed(answer.Outcome) {
		delete(k.breakers, scope)
		return
	}
	if k.breakers[scope] == nil {
		k.breakers[scope] = &breaker{failed: map[call]struct{}{}}
	}
	if wait := k.breakers[scope].trip(c); wait > 0 {
		k.gates[scope] = gate{answer: answer, until: now.Add(wait), patience: callLife}
	}
}

// trouble returns the answer that tells why calls at base are held back, if they are: WorkOS is down, or has asked for patience within
// the last minute.
func (k *keyState) trouble(base string, now time.Time) (Answer, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for scope, b := range k.breakers {
		if closed := k.gates[scope]; b.trips > 0 && strings.HasPrefix(scope, base+" ") && now.Sub(closed.until) < staleTrouble {
			return closed.answer, true
		}
	}
	if k.budget.part(now) < 1 {
		return Answer{Outcome: OutcomeRateLimited, Message: "WorkOS has asked for patience"}, true
	}
	return Answer{}, false
}
