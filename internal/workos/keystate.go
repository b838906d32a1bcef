package workos

import (
	"fmt"
	"maps"
	"slices"
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
	limits map[string]int // requests per minute, by owner
	budget *budget
	gates  gates
}

func newKeyState(requestsPerMinute int) *keyState {
	return &keyState{limits: map[string]int{}, budget: newBudget(requestsPerMinute), gates: gates{}}
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
	k.applyLimit(now)
}

func (k *keyState) applyLimit(now time.Time) {
	if len(k.limits) > 0 {
		k.budget.setLimit(slices.Min(slices.Collect(maps.Values(k.limits))), now)
	}
}

// idle says whether nobody uses the key and nothing about it needs to be remembered.
func (k *keyState) idle(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.limits) == 0 && k.budget.idle(now) && !k.gates.anyClosed(now)
}

// admit lets a call pass, charging the budget, or refuses it with the answer to give instead.
func (k *keyState) admit(c call, now time.Time) (refusal Answer, refused bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if refusal, refused := k.gates.refusal(c.base, now); refused {
		return refusal, true
	}
	if wait := k.budget.take(c, now); wait > 0 {
		return Answer{
			Outcome:    OutcomeHeld,
			Message:    "waiting for its turn within the requests per minute of the API key",
			RetryAfter: min(wait, maxRetryAfter),
		}, true
	}
	k.gates.pass(c.base, now)
	return Answer{}, false
}

// settle learns from an answer that WorkOS gave to a call.
func (k *keyState) settle(c call, answer Answer, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gates.settle(c.base, answer, now)
}
