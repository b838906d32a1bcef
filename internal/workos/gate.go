package workos

import "time"

const (
	// probeWait is how long other callers wait for the first call after a gate's time is over.
	// It is longer than WorkOS usually takes to answer, and short enough to do no harm when
	// WorkOS does not answer.
	probeWait = 2 * time.Second
	// longPatience is the shortest wait whose end is shown to users.
	longPatience = time.Minute
	// wholeKey is the scope of a gate that is closed at every base URL: rate limits belong to
	// the key.
	wholeKey = ""
)

// gates hold back the users of a key, by scope: wholeKey, or a base URL.
//
//   - A 429 closes the whole key for its Retry-After, or for a second without it.
//   - A 401 closes the key at that base URL for 30 s. Another base URL, such as that of
//     staging, may well accept the key.
//   - A 503 with a Retry-After closes the key at that base URL until then.
//
// While a gate is closed, every caller gets an answer with the outcome that closed it. The
// message is a text of this package, because WorkOS's words to one user are not for others.
// When the gate's time is over, one call goes ahead. The others wait until it is answered, or
// for probeWait. Otherwise a thousand objects that wait for the same instant would all ask,
// only to find the key still rejected.
type gates map[string]gate

type gate struct {
	outcome Outcome
	until   time.Time
	// asked is the time until which WorkOS asked to wait, in whole seconds, or zero if that is
	// too soon to be shown. It does not change while others wait for a probe.
	asked   time.Time
	probing bool
	lines   lines
}

// scopes returns the scopes of the gates that a call has to pass.
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

// heldMessages are the messages for calls that are held back. Users read them after a text that
// explains the outcome.
var heldMessages = map[Outcome]string{
	OutcomeRateLimited: "no request is sent before the time that it has asked for",
	OutcomeUnavailable: "no request is sent before the time that it has asked for",
	OutcomeKeyRejected: "it was refused a moment ago, and the next request is sent within 30 s",
}

// toldUntil returns the time until which WorkOS asked to wait, or zero once that time has passed.
func (g gate) toldUntil(now time.Time) time.Time {
	if !g.asked.After(now) {
		return time.Time{}
	}
	return g.asked
}

// pass records that a call goes ahead through the gates whose time is over. Other calls wait
// for its answer, or for probeWait.
func (g gates) pass(c call, now time.Time) {
	for _, scope := range scopes(c) {
		if gate, ok := g[scope]; ok {
			gate.until, gate.probing = now.Add(probeWait), true
			g[scope] = gate
		}
	}
}

// settle opens the gates that a call went ahead through, and closes the gate that its answer
// asks for. It reports whether a gate that was closed is now open. An answer to a call that was
// sent before a gate closed neither opens that gate nor shortens its time.
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

// askedUntil returns the time until which an answer asks to wait, rounded up to whole seconds.
// It is zero if the wait is shorter than longPatience, and for a rejected key, because then
// this package chooses the wait and not WorkOS.
func askedUntil(answer Answer, now time.Time) time.Time {
	if answer.RetryAfter < longPatience || answer.Outcome == OutcomeKeyRejected {
		return time.Time{}
	}
	return now.Add(answer.RetryAfter + time.Second - 1).UTC().Truncate(time.Second)
}

// closed reports whether no call may pass and no probe is under way.
func (g gates) closed(scope string, now time.Time) bool {
	return g[scope].until.After(now) && !g[scope].probing
}

// anyClosed reports whether any gate is closed.
func (g gates) anyClosed(now time.Time) bool {
	for _, gate := range g {
		if gate.until.After(now) {
			return true
		}
	}
	return false
}

// forget drops gates that have been open for more than a minute. Users choose the base URLs, so
// the number of gates would otherwise grow without limit.
func (g gates) forget(now time.Time) {
	for scope, gate := range g {
		if now.Sub(gate.until) > time.Minute {
			delete(g, scope)
		}
	}
}
