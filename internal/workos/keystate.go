package workos

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// call identifies a call. Two calls with the same key and an equal call are identical.
type call struct {
	base    string
	request Request
	// poller is the owner that asks for events. Empty: the call asks for a token. Calls for events
	// belong to no integration: they have no circuit and no floor.
	poller string
}

// String returns a text that is unambiguous for all requests for a token.
func (c call) String() string {
	r := c.request
	return fmt.Sprintf("%q %q %q %q %q %q %q", c.base, r.Slug, r.UserID, r.OrganizationID, r.Owner, r.AccountID, r.Method)
}

func (c call) integration() integration { return integration{c.base, c.request.Slug} }

// maxCircuits bounds how many integrations have a circuit, because tenants choose the slugs.
// Further integrations have none.
const maxCircuits = 1024

// keyState is the state that all users of an API key share. It does not contain the key.
type keyState struct {
	flights singleflight.Group // by call

	mu       sync.Mutex
	owners   map[string]owner
	budget   *budget
	gates    gates
	circuits map[integration]*circuit // only of integrations for which a call has failed
	floors   *floors
	underway map[call]*underway
	waiting  map[call]int // number of callers that wait for a call
	parked   map[call]parked
	cleaned  time.Time
	// epoch changes whenever calls that were held back may leave: a gate opens, a circuit
	// closes, or an answer has come for which no caller waits any more. epochs provides the
	// numbers, for all keys.
	epoch  uint64
	epochs *atomic.Uint64
}

// underway is a call that has left and has not ended.
type underway struct {
	turn Turn
	left time.Time
	// probes: the call is a probe of an open circuit. slow: the call has already counted as
	// failed, because it takes long.
	probes, slow bool
}

func newKeyState(requestsPerMinute int, epochs *atomic.Uint64) *keyState {
	return &keyState{
		owners: map[string]owner{}, budget: newBudget(requestsPerMinute), gates: gates{},
		circuits: map[integration]*circuit{}, floors: newFloors(), underway: map[call]*underway{},
		waiting: map[call]int{}, parked: map[call]parked{}, epoch: epochs.Add(1), epochs: epochs,
	}
}

// idle reports whether the key has no owner and no state that must be remembered.
func (k *keyState) idle(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.owners) == 0 && k.budget.idle(now) && !k.gates.anyClosed(now)
}

// admit lets a call leave and charges the budget, or refuses the call with an answer. That
// answer says why the call is held back, or it is the token that the same call has just brought
// to another asker. The caller must call ended once an admitted call is over.
func (k *keyState) admit(asking call, turn Turn, now time.Time) (refusal Answer, refused bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(now)
	k.countSlow(asking.integration(), now)
	if refusal, refused := k.gates.refusal(asking, turn, now); refused {
		refusal.Epoch = k.epoch
		return refusal, true
	}
	circuit := k.circuits[asking.integration()]
	if circuit != nil && circuit.wait(asking, turn, now) > 0 {
		return Answer{
			Outcome: OutcomeUnavailable, Message: circuitMessage, Down: true, Epoch: k.epoch,
			RetryAfter: circuit.hold(asking, turn, now),
		}, true
	}
	if wait, shared := k.floors.wait(asking, turn, now); shared != nil {
		return shared.clone(), true
	} else if wait > 0 {
		return held("the last request for this connection was made less than 5 s ago", wait), true
	}
	if wait := k.budget.take(asking, turn, now); wait > 0 {
		return held("waiting for its turn within the requests per minute of the API key", wait), true
	}
	k.gates.pass(asking, now)
	leaving := &underway{turn: turn, left: now}
	if circuit != nil && circuit.holds(turn.Share) {
		circuit.probe(turn, now)
		leaving.probes = true
	}
	k.floors.leave(asking, turn, now)
	k.underway[asking] = leaving
	return Answer{}, false
}

// circuitMessage is the only text about an open circuit. Other users must not learn whose calls
// failed or how.
const circuitMessage = "requests for this integration fail, so single requests probe it"

func held(message string, wait time.Duration) Answer {
	return Answer{Outcome: OutcomeHeld, Message: message, RetryAfter: min(wait, maxRetryAfter)}
}

// countSlow counts calls of an integration as failed once they have been under way for
// slowCall. It detects a WorkOS that does not answer at all before the first call times out.
func (k *keyState) countSlow(of integration, now time.Time) {
	for asked, u := range k.underway {
		if asked.integration() == of && !u.slow && now.Sub(u.left) >= slowCall {
			u.slow = true
			k.fail(asked, u.turn, now)
		}
	}
}

func (k *keyState) fail(asked call, turn Turn, now time.Time) {
	of := asked.integration()
	if asked.poller != "" {
		return
	}
	if k.circuits[of] == nil {
		if len(k.circuits) >= maxCircuits {
			return
		}
		k.circuits[of] = newCircuit()
	}
	k.circuits[of].fail(asked, turn, now)
}

// forget drops outdated state, at most once a minute.
func (k *keyState) forget(now time.Time) {
	if now.Sub(k.cleaned) < time.Minute {
		return
	}
	k.cleaned = now
	k.gates.forget(now)
	k.forgetParked(now)
	for of, circuit := range k.circuits {
		if circuit.forget(now) {
			delete(k.circuits, of)
		}
	}
}

// share keeps an answer for other askers of the same connection.
func (k *keyState) share(asked call, turn Turn, answer Answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.floors.answered(asked, turn, answer)
}

// ended records that an admitted call is over, with or without success.
func (k *keyState) ended(asked call, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.underway, asked)
	k.budget.end(now)
}

// release names the owners that may ask again, and for which request. A request without UserID
// stands for all connections, and a request without Slug for all integrations.
type release struct {
	owners  []string
	request Request
}

// settle updates the state of the key from WorkOS's answer to a call. It returns the answer
// with the consequences for the caller, and the owners that may ask again because of it.
func (k *keyState) settle(asked call, answer Answer, now time.Time) (Answer, []release) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var releases []release
	slowed := k.gates.closed(wholeKey, now)
	if k.gates.settle(asked, answer, now) {
		releases = append(releases, release{owners: k.ownersAt(asked.base, true)})
	}
	answer.Until = askedUntil(answer, now)
	if answer.Outcome == OutcomeRateLimited && !slowed {
		k.budget.slowDown(now)
	}
	if k.settleCircuit(asked, &answer, now) {
		releases = append(releases, release{k.ownersAt(asked.base, false), Request{Slug: asked.request.Slug}})
	}
	if len(releases) > 0 {
		k.epoch = k.epochs.Add(1)
	}
	answer.Epoch = k.epoch
	return answer, releases
}

// settleCircuit updates the circuit of the call's integration from an answer, and reports
// whether the answer has closed the circuit.
func (k *keyState) settleCircuit(asked call, answer *Answer, now time.Time) (closed bool) {
	of, u := asked.integration(), k.underway[asked]
	if u == nil {
		u = &underway{}
	}
	if !failed(answer.Outcome) {
		circuit := k.circuits[of]
		return circuit != nil && circuit.answer(asked)
	}
	if !u.slow {
		k.fail(asked, u.turn, now)
	}
	circuit := k.circuits[of]
	if circuit == nil || !circuit.holds(u.turn.Share) {
		return false
	}
	if u.probes {
		circuit.miss()
	}
	answer.Down = true
	answer.RetryAfter = max(answer.RetryAfter, circuit.hold(asked, u.turn, now))
	return false
}

// currentEpoch returns the epoch of an answer that is given now.
func (k *keyState) currentEpoch() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.epoch
}

// staleProbe is how long an open circuit is reported after its last probe.
const staleProbe = 10 * time.Minute

// trouble returns why calls at base are held back, if they are: WorkOS has asked to wait for a
// minute or more, an integration is down for more than one connection, or WorkOS has limited
// the rate within the last minute.
func (k *keyState) trouble(base string, now time.Time) (Trouble, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(now)
	for _, scope := range []string{wholeKey, base} {
		gate := k.gates[scope]
		if told := gate.toldUntil(now); gate.until.After(now) && !told.IsZero() {
			return Trouble{gate.outcome, told}, true
		}
	}
	for of, circuit := range k.circuits {
		if of.base == base && circuit.isOpen() && circuit.concernsSeveral() && now.Sub(circuit.probed) < staleProbe {
			return Trouble{Outcome: OutcomeUnavailable}, true
		}
	}
	if k.budget.part(now) < 1 {
		return Trouble{Outcome: OutcomeRateLimited}, true
	}
	return Trouble{}, false
}
