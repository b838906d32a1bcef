package workos

import "time"

const (
	// probeWait is how long everyone else waits for the first call after a gate's time: longer than WorkOS usually
	// takes to answer, and short enough not to matter when it does not.
	probeWait = 2 * time.Second
	// longPatience is from how long on it is worth telling people until when WorkOS has asked to be left alone.
	longPatience = time.Minute
	// wholeKey is the scope of a gate that is closed at every base URL: rate limits belong to the key.
	wholeKey = ""
)

// gates hold back the users of a key, by scope: wholeKey, or a base URL.
//
//   - A 429 closes the whole key for its Retry-After, or a second.
//   - A 401 closes the key at that base URL for 30 s: another one, such as staging's, may well know the key.
//   - A 503 with a Retry-After closes the key at that base URL until then.
//
// While a gate is closed everyone gets an answer with the outcome that closed it, in words of this package: what WorkOS said to one
// user is not for others. When its time is over one call goes ahead, and the others wait until it is answered, or for probeWait: a
// thousand objects that were told the same instant do not all go to find out that the key is still dead.
type gates map[string]gate

type gate struct {
	outcome Outcome
	until   time.Time
	// asked is the time that WorkOS has asked for, in whole seconds, if that is worth telling. It stays when a probe is waited for.
	asked   time.Time
	probing bool
	lines   lines
}

// scopes are those of the gates that a call has to pass.
func scopes(c call) []string { return []string{wholeKey, c.base} }

// refusal returns the answer for a call, if a gate is closed for it.
func (g gates) refusal(c call, turn Turn, now time.Time) (Answer, bool) {
	closed := g[wholeKey]
	if other := g[c.base]; other.until.After(closed.until) {
		closed = other
	}
	left := closed.until.Sub(now)
	if left <= 0 {
		return Answer{}, false
	}
	return Answer{
		Outcome: closed.outcome, Message: heldMessages[closed.outcome], Until: closed.toldUntil(now),
		RetryAfter: min(closed.lines.join(line{share: turn.Share, urgent: turn.urgent(now)}, now, left), maxRetryAfter),
	}, true
}

// heldMessages are what is said to those who are held back. They follow what the outcome is called.
var heldMessages = map[Outcome]string{
	OutcomeRateLimited: "no request is sent before the time that it has asked for",
	OutcomeUnavailable: "no request is sent before the time that it has asked for",
	OutcomeKeyRejected: "it was refused a moment ago, and the next request is sent within 30 s",
}

// toldUntil is the time that WorkOS has asked for, as long as that is to come.
func (g gate) toldUntil(now time.Time) time.Time {
	if !g.asked.After(now) {
		return time.Time{}
	}
	return g.asked
}

// pass notes that a call goes ahead through the gates whose time is over.
func (g gates) pass(c call, now time.Time) {
	for _, scope := range scopes(c) {
		if gate, ok := g[scope]; ok {
			gate.until, gate.probing = now.Add(probeWait), true
			g[scope] = gate
		}
	}
}

// settle closes the gate that an answer asks for, or opens those that a call went ahead through, and says whether one is open now that
// was not. A gate that is closed is not opened by calls that were sent before, nor closed for less.
func (g gates) settle(c call, answer Answer, now time.Time) (opened bool) {
	for _, scope := range scopes(c) {
		if g[scope].probing {
			delete(g, scope)
			opened = true
		}
	}
	if answer.RetryAfter == 0 {
		return opened
	}
	scope := c.base
	if answer.Outcome == OutcomeRateLimited {
		scope = wholeKey
	}
	if until := now.Add(answer.RetryAfter); until.After(g[scope].until) {
		g[scope] = gate{outcome: answer.Outcome, until: until, asked: askedUntil(answer, now), lines: lines{}}
	}
	return false
}

// askedUntil is until when an answer asks to be left alone, rounded up to whole seconds; zero when that is soon over, or is not what the
// answer says.
func askedUntil(answer Answer, now time.Time) time.Time {
	if answer.RetryAfter < longPatience || answer.Outcome == OutcomeKeyRejected {
		return time.Time{}
	}
	return now.Add(answer.RetryAfter + time.Second - 1).UTC().Truncate(time.Second)
}

// closed says whether nobody may pass, and no probe is under way.
func (g gates) closed(scope string, now time.Time) bool {
	return g[scope].until.After(now) && !g[scope].probing
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

// forget drops gates that have been open for long: base URLs are for others to choose.
func (g gates) forget(now time.Time) {
	for scope, gate := range g {
		if now.Sub(gate.until) > time.Minute {
			delete(g, scope)
		}
	}
}
