package workos

import (
	"cmp"
	"time"
)

// probeWait is how long everyone else waits for the first call after a gate's time: longer than WorkOS usually
// takes to answer, and short enough not to matter when it does not.
const probeWait = 2 * time.Second

// wholeKey is the scope of a gate that is closed at every base URL: rate limits belong to the key.
const wholeKey = ""

// gates hold back the users of a key, by scope: wholeKey, a base URL, or an integration there.
//
//   - A 429 closes the whole key for its Retry-After, or a second.
//   - A 401 closes the key at that base URL for 30 s: another one, such as staging's, may well know the key.
//   - A 503 with a Retry-After closes the key at that base URL until then.
//   - A breaker closes one integration at that base URL.
//
// While a gate is closed everyone gets the answer that closed it. When its time is over one call goes ahead, and
// the others wait until it is answered (or for probeWait; for a breaker's, as long as a call may take): a thousand objects
// that were told the same instant do not all go to find out that the key is still dead.
type gates map[string]gate

type gate struct {
	answer  Answer
	until   time.Time
	probing bool
	// patience is how long everyone waits for the call that goes ahead; zero: probeWait.
	patience time.Duration
}

// refusal returns the answer for a call, if a gate is closed for it.
func (g gates) refusal(c call, now time.Time) (Answer, bool) {
	closed := g[wholeKey]
	for _, scope := range scopes(c)[1:] {
		if g[scope].until.After(closed.until) {
			closed = g[scope]
		}
	}
	left := closed.until.Sub(now)
	if left <= 0 {
		return Answer{}, false
	}
	answer := closed.answer
	answer.RetryAfter, answer.ClockSkew, answer.Sent = left, 0, false
	return answer, true
}

// pass notes that a call goes ahead through the gates whose time is over.
func (g gates) pass(c call, now time.Time) {
	for _, scope := range scopes(c) {
		if gate, ok := g[scope]; ok {
			gate.until, gate.probing = now.Add(cmp.Or(gate.patience, probeWait)), true
			g[scope] = gate
		}
	}
}

// settle closes the gate that an answer asks for, or opens those that a call went ahead through. A gate that is
// closed is not opened by calls that were sent before, nor closed for less.
func (g gates) settle(c call, answer Answer, now time.Time) {
	for _, scope := range scopes(c) {
		if g[scope].probing {
			delete(g, scope)
		}
	}
	if answer.RetryAfter == 0 {
		return
	}
	scope := c.base
	if answer.Outcome == OutcomeRateLimited {
		scope = wholeKey
	}
	if until := now.Add(answer.RetryAfter); until.After(g[scope].until) {
		g[scope] = gate{answer: answer, until: until}
	}
}

// anyClosed says whether a gate is closed for anybody.
func (g gates) anyClosed(now time.Time) bool {
	for _, gate := range g {
		if gate.until.After(now) {
			return true
		}
	}
	return false
}

// callLife is as long as a call takes at most.
const callLife = defaultTimeout + time.Second

// integration is the scope of a breaker's gate: one slug at one base URL. No base URL has a space in it.
func integration(c call) string { return c.base + " " + c.request.Slug }

// scopes are those of the gates that a call has to pass.
func scopes(c call) []string { return []string{wholeKey, c.base, integration(c)} }

// closed says whether nobody may pass now but for the call that finds out.
func (g gates) closed(scope string, now time.Time) bool {
	return g[scope].until.After(now) && !g[scope].probing
}
