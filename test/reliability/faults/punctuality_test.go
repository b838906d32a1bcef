//go:build reliability

package faults_test

import (
	"net/http"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// When a token that has expired in its Secret is the operator's fault, and how often it may ask.
//
// Let E be the expiry of a token. The operator begins to ask for the next one no later than it has to (docs/renewal.md): when there
// is left the lead, less a fifth for the jitter. WorkOS hands out the next one from a time of its own on. The window of the token
// begins at the later of the two. A second in which an expired token stands in a Secret counts as preventable if, before it and within
// the window, there was a stretch without trouble that was long enough to renew:
//
//   - promptly, where nothing has gone wrong since the operator first asked: it has to ask, to wait for its place within the requests
//     per minute, and to write;
//   - patiently, where something has: the delay of the back-off is about as long as the trouble was, which is bounded here, and a slow
//     poll comes after 30 seconds or a fifth of the trouble; and then come those who have queued up in the meantime.
//
// Trouble is: the way to the API server or to WorkOS is bad (and 5 seconds more), nobody leads (a leader that is lost without a
// farewell is replaced after 18 to 21 seconds, and 25 count), WorkOS has just answered this very connection with anything but a good
// token, or has told everybody who uses the key to wait.
const (
	promptly  = 20 * time.Second
	patiently = 50 * time.Second
)

// latestAsk and earliestAsk are when the operator may begin to ask for the successor of a token that lives for a time: all leads of
// the storm are at least two minutes, or else half of the lifetime.
func earliestAsk(expires time.Time, lifetime time.Duration) time.Time {
	return expires.Add(-lifetime / 2)
}

func latestAsk(expires time.Time, lifetime time.Duration) time.Time {
	return expires.Add(-min(2*time.Minute, lifetime/2) * 4 / 5)
}

// preventable is for how long the operator has left an expired token in a Secret that it could have replaced. due says whether it
// had an opportunity to replace it at all.
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

// goodResults are answers with a token that can be used.
var goodResults = []string{workossim.ResultToken, string(workossim.FaultActiveWithError), string(workossim.FaultExtraFields)}

// How long the storm has WorkOS tell everybody to wait at most, and how long the operator spares a key that was refused.
const (
	longestRetryAfter = 6 * time.Second
	keySpared         = 32 * time.Second
)

// denials are the troubles of which WorkOS's own journal tells.
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

// reigns of the Lease of that name, with what a process may still have under way when it has lost it.
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

// callTimeout is how long a call takes at most. A wire that holds calls back may let all those of that time arrive at once.
const callTimeout = 15 * time.Second

// burst is what arrives at WorkOS within 60 seconds.
type burst struct {
	from  time.Time
	calls int
	// allowed is how many there may be: the limit, once for each process that worked meanwhile, because budgets are in memory; and a
	// quarter more if the wire to WorkOS held calls back.
	allowed int
	plain   bool
}

// bursts are the windows of 60 seconds that begin with a call.
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
