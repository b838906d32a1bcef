//go:build reliability

package faults_test

import (
	"net/http"
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// The functions in this file judge when an expired token in a Secret is the operator's fault, and
// how many calls the operator may make.
//
// Let E be the expiry of a token. The operator must ask for the next token
// (docs/explanation/renewal.md) at the latest when the time left is the lead, less a fifth for
// the jitter. WorkOS returns the next token only from some time on. The window of the token
// begins at the later of these two times. A second in which an expired token is in a Secret
// counts as preventable if, before that second and within the window, there was a stretch without
// trouble that was long enough to renew:
//
//   - promptly, if nothing has gone wrong since the operator first asked: the operator must ask,
//     wait for its turn within the requests per minute, and write;
//   - patiently, otherwise: the delay of the back-off is about as long as the trouble was, and
//     troubles are short in this test. A slow poll comes after 30 seconds, or after a fifth of the
//     duration of the trouble. After that, the backlog has to be worked off.
//
// A trouble is one of these: the connection to the API server or to WorkOS is bad (and 5 seconds
// more); there is no leader (a leader that is lost without releasing its Lease is replaced after
// about 12 seconds, and 25 count); WorkOS has just answered this connection with anything but a
// valid token, or has asked all users of the API key to wait.
const (
	promptly  = 20 * time.Second
	patiently = 50 * time.Second
)

// latestAsk and earliestAsk are the times between which the operator first asks for the next
// token: all leads in the storm are at least two minutes, or half of the lifetime if that is
// less.
func earliestAsk(expires time.Time, lifetime time.Duration) time.Time {
	return expires.Add(-lifetime / 2)
}

func latestAsk(expires time.Time, lifetime time.Duration) time.Time {
	return expires.Add(-min(2*time.Minute, lifetime/2) * 4 / 5)
}

// preventable returns for how long the operator has left an expired token in a Secret that it
// could have replaced. due reports whether it had an opportunity to replace the token at all.
func preventable(h *holding, c workossim.Connection, befell []trouble) (late time.Duration, due bool) {
	if h.expires.IsZero() {
		return 0, false
	}
	lifetime := h.expires.Sub(h.obtained)
	begins := latestAsk(h.expires, lifetime)
	if !c.AlwaysFresh {
		begins = latest(begins, h.expires.Add(time.Second-c.RefreshLead))
	}
	asks := latest(earliestAsk(h.expires, lifetime), h.from)
	opportunity := time.Time{}
	for _, s := range calm(latest(begins, h.from), h.until, befell) {
		needed := patiently
		if untroubled := calm(asks, s.to, befell); untroubled[0] == (stretch{asks, s.to}) {
			needed = promptly
		}
		if at := s.from.Add(needed); opportunity.IsZero() && !at.After(s.to) {
			opportunity = at
		}
	}
	due = !opportunity.IsZero() || c.AlwaysFresh && h.until.Before(h.expires)
	if opportunity.IsZero() {
		return 0, due
	}
	return max(0, h.until.Sub(latest(opportunity, h.expires.Add(time.Second)))), due
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// goodResults are the answers with a usable token.
var goodResults = []string{workossim.ResultToken, string(workossim.FaultActiveWithError), string(workossim.FaultExtraFields)}

// longestRetryAfter is the longest wait that WorkOS asks for in the storm. keySpared is for how
// long the operator makes no calls with a key that WorkOS has rejected.
const (
	longestRetryAfter = 6 * time.Second
	keySpared         = 32 * time.Second
)

// denials returns the troubles that WorkOS's own list of calls shows.
func denials(calls []workossim.Request) []trouble {
	var all []trouble
	for _, c := range calls {
		switch c.Status {
		case http.StatusUnauthorized:
			all = append(all, trouble{from: c.Time, to: c.Time.Add(keySpared), what: "the key is refused"})
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			all = append(all, trouble{from: c.Time, to: c.Time.Add(longestRetryAfter), what: "WorkOS asks for patience"})
		}
		if !slices.Contains(goodResults, c.Result) {
			all = append(all, trouble{from: c.Time, to: c.Time.Add(time.Second), what: c.Result, id: &c.ID})
		}
	}
	return all
}

// reign is the time in which one process held the Lease.
type reign struct {
	holder string
	stretch
}

// reigns returns the reigns of the Lease of that name. Each is extended by callTimeout, because
// the calls of a process may still be on their way after it has lost the Lease.
func reigns(versions []version, name string, end time.Time) []reign {
	var all []reign
	for _, v := range versions {
		if v.kind != leaseKind || v.name != name || v.lease == nil {
			continue
		}
		if holder := holderOf(v.lease); len(all) == 0 || all[len(all)-1].holder != holder {
			all = append(all, reign{holder: holder, stretch: stretch{from: v.at}})
		}
		all[len(all)-1].to = v.at
	}
	for i := range all {
		all[i].to = end
		if i+1 < len(all) {
			all[i].to = all[i+1].from.Add(callTimeout)
		}
	}
	return slices.DeleteFunc(all, func(r reign) bool { return r.holder == "" })
}

func holderOf(lease *coordinationv1.Lease) string {
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// callTimeout is the longest duration of a call. A wire that delays calls may deliver all calls
// of that time at once.
const callTimeout = 15 * time.Second

// burst is the calls that arrive at WorkOS within 60 seconds.
type burst struct {
	from  time.Time
	calls int
	// allowed is the allowed number of calls: the limit, once for each process that worked in
	// that time, because each process has its own budget in memory; and a quarter more if the
	// wire to WorkOS delayed calls.
	allowed int
	plain   bool
}

// bursts returns the windows of 60 seconds that begin with a call.
func bursts(calls []workossim.Request, perMinute int, all []reign, held []trouble) []burst {
	var found []burst
	last := 0
	for i, c := range calls {
		window := stretch{c.Time, c.Time.Add(time.Minute)}
		for last < len(calls) && calls[last].Time.Before(window.to) {
			last++
		}
		b := burst{from: c.Time, calls: last - i}
		holders := 0
		for _, r := range all {
			if r.from.Before(window.to) && r.to.After(window.from) {
				holders++
			}
		}
		b.allowed, b.plain = perMinute*max(1, holders), holders <= 1
		if slices.ContainsFunc(held, func(t trouble) bool { return t.from.Before(window.to) && t.to.After(window.from) }) {
			b.allowed, b.plain = b.allowed*5/4, false
		}
		found = append(found, b)
	}
	return found
}

// trouble is a time in which the operator cannot be expected to work: its connection to the API
// server or to WorkOS is bad, or there is no leader.
type trouble struct {
	from, to time.Time
	what     string
	// id or environment limits the trouble to one connection or to one PipesEnvironment. If
	// neither is set, the trouble affects all PipesTokens.
	id          *workossim.ID
	environment string
	// wire: calls to WorkOS may have been delayed, and then arrive all at once.
	wire bool
}

// befalls reports whether the trouble affects a PipesToken.
func (t trouble) befalls(c *citizen) bool {
	switch {
	case t.id != nil:
		return *t.id == c.connection.ID
	case t.environment != "":
		return c.spec.EnvironmentRef != nil && c.spec.EnvironmentRef.Name == t.environment
	default:
		return true
	}
}

// troubles are all troubles of a storm.
type troubles struct {
	mu    sync.Mutex
	all   []trouble
	kinds map[string]int
}

func newTroubles() *troubles { return &troubles{kinds: map[string]int{}} }

func (l *troubles) add(t trouble) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, t)
}

// last notes a trouble that begins now and lasts for that time.
func (l *troubles) last(span time.Duration, what string) {
	now := time.Now()
	l.add(trouble{from: now, to: now.Add(span), what: what})
}

// during notes a trouble that begins now and ends afterwards after do has returned.
func (l *troubles) during(what string, afterwards time.Duration, do func()) {
	from := time.Now()
	do()
	l.add(trouble{from: from, to: time.Now().Add(afterwards), what: what})
}

// inject counts a fault of a kind.
func (l *troubles) inject(kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kinds[kind]++
}

// injected returns the number of faults of each kind.
func (l *troubles) injected() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[string]int{}
	for kind, count := range l.kinds {
		counts[kind] = count
	}
	return counts
}

func (l *troubles) list() []trouble {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// stretch is a time without trouble.
type stretch struct{ from, to time.Time }

// calm returns the stretches without trouble between two times.
func calm(from, to time.Time, all []trouble) []stretch {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b trouble) int { return a.from.Compare(b.from) })
	var found []stretch
	for _, t := range sorted {
		if !t.to.After(from) || !t.from.Before(to) {
			continue
		}
		if t.from.After(from) {
			found = append(found, stretch{from, t.from})
		}
		from = t.to
	}
	if from.Before(to) {
		found = append(found, stretch{from, to})
	}
	return found
}
