//go:build reliability

package faults_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness"
	"github.com/pipes-operator/pipes-operator/test/harness/canary"
	"github.com/pipes-operator/pipes-operator/test/reliability/figures"
)

// judge compares everything that was stored, called and logged with the promises, and records the
// figures.
func (s *storm) judge(converged, overdue time.Duration) {
	s.t.Helper()
	s.history.catchUp(s.t, s.plane.etcd)
	s.fleet.mu.Lock()
	errs := s.fleet.errs
	s.fleet.mu.Unlock()
	for _, err := range errs {
		s.t.Error(err)
	}
	end := time.Now()
	calls := s.upstream.Requests()
	v := s.judgeStored(s.t, s.strange, calls, end)
	late, due := s.judgePunctuality(v.held, calls)
	most, mostAround := s.judgeCalls(v.versions, calls, end)
	if overdue > mayBeOverdue {
		s.t.Errorf("the PipesToken that has waited longest has waited %s", overdue)
	}
	rows := []figures.Figure{
		{Name: "storm: PipesTokens", Value: strconv.Itoa(len(s.citizens))},
		{Name: "storm: length (s)", Value: seconds(s.ended.Sub(s.began))},
		{Name: "storm: tokens written", Value: strconv.Itoa(len(v.held))},
		{Name: "storm: calls to WorkOS", Value: strconv.Itoa(len(calls))},
		{Name: "storm: starts of the operator", Value: strconv.Itoa(s.fleet.replicas[0].starts + s.fleet.replicas[1].starts)},
		{Name: "storm: wrong tokens", Value: strconv.Itoa(v.wrong), Promise: "0"},
		{Name: "storm: Secrets of others touched", Value: strconv.Itoa(v.touched), Promise: "0"},
		{Name: "storm: statuses that claim what is not so", Value: strconv.Itoa(v.unfounded), Promise: "0"},
		{Name: "storm: expired tokens that could have been replaced (s)", Value: seconds(late), Promise: "0"},
		{Name: "storm: tokens that had an opportunity to be replaced", Value: strconv.Itoa(due)},
		{Name: "storm: PipesTokens forgotten", Value: strconv.Itoa(s.forgotten), Promise: "0"},
		{Name: "storm: oldest overdue renewal in the end (s)", Value: seconds(overdue), Promise: "at most " + seconds(mayBeOverdue)},
		{Name: "storm: calls in any 60 s while one process worked", Value: strconv.Itoa(most), Promise: fmt.Sprintf("at most %d", limit)},
		{Name: "storm: calls in any 60 s with a failover or a wire that held calls back in it", Value: strconv.Itoa(mostAround), Promise: "once more for each process, and a quarter"},
		{Name: "storm: tokens and API keys found where none belongs", Value: strconv.Itoa(v.leaked), Promise: "0"},
		{Name: "storm: until everything was well after the last fault, slow polls apart (s)", Value: seconds(converged), Promise: "at most " + seconds(promisedConvergence)},
	}
	injected := s.troubles.injected()
	all := 0
	for _, kind := range sortedKeys(injected) {
		s.t.Logf("fault: %s: %d", kind, injected[kind])
		all += injected[kind]
	}
	keep(s.t, append(rows, figures.Figure{Name: "storm: faults", Value: fmt.Sprintf("%d, of %d kinds", all, len(injected))})...)
}

// mayBeOverdue is the largest allowed metric: a renewal that is in progress may be this late.
const mayBeOverdue = 5 * time.Second

// verdict has the findings about everything that was stored and logged.
type verdict struct {
	versions                          []version
	held                              []*holding
	wrong, touched, unfounded, leaked int
}

// judgeStored checks the promises that hold at any time, whatever the faults are.
func (s *site) judgeStored(t *testing.T, strange []string, calls []workossim.Request, end time.Time) verdict {
	t.Helper()
	s.history.catchUp(t, s.plane.etcd)
	v := verdict{versions: s.history.of(t, "", "")}
	held, wrong := holdings(v.versions, calls, end)
	v.held = held
	wrong = append(wrong, replacedByOlder(held)...)
	reached, claims, leaked := touched(v.versions, strange), unfounded(v.versions, held), leaksStored(v.versions)
	for _, r := range s.replicas {
		lines, alarming, err := judgeLog(r.log)
		if err != nil {
			t.Error(err)
		}
		leaked = append(leaked, lines...)
		complain(t, "in the log of "+r.name, alarming)
	}
	complain(t, "wrong tokens", wrong)
	complain(t, "Secrets of others", reached)
	complain(t, "statuses", claims)
	complain(t, "leaks", leaked)
	v.wrong, v.touched, v.unfounded, v.leaked = len(wrong), len(reached), len(claims), len(leaked)
	return v
}

// complain reports the first ten findings of a kind.
func complain(t *testing.T, what string, found []string) {
	t.Helper()
	const enough = 10
	if len(found) > 0 {
		t.Errorf("%s (%d):\n%s", what, len(found), strings.Join(found[:min(enough, len(found))], "\n"))
	}
}

// judgePunctuality returns for how long in total expired tokens were in Secrets that the operator
// could have replaced, and how many tokens it had an opportunity to replace.
func (s *storm) judgePunctuality(held []*holding, calls []workossim.Request) (late time.Duration, due int) {
	s.t.Helper()
	all := append(s.troubles.list(), denials(calls)...)
	byID := map[workossim.ID]*citizen{}
	befallen := map[*citizen][]trouble{}
	for _, c := range s.citizens {
		byID[c.connection.ID] = c
		for _, t := range all {
			if t.befalls(c) {
				befallen[c] = append(befallen[c], t)
			}
		}
	}
	var found []string
	for _, h := range held {
		c := byID[h.id]
		span, had := preventable(h, c.connection, befallen[c])
		if had {
			due++
		}
		if span > 0 {
			late += span
			found = append(found, fmt.Sprintf("Secret %s: token %d, obtained at %s, expired at %s and stood there until %s, %s too long (refresh lead %s, always fresh %t)",
				h.secret, h.serial, h.obtained.Format(time.TimeOnly), h.expires.Format(time.TimeOnly), h.until.UTC().Format("15:04:05.0"), span, c.connection.RefreshLead, c.connection.AlwaysFresh))
		}
	}
	complain(s.t, "expired tokens that could have been replaced", found)
	return late, due
}

// judgeCalls returns the largest number of calls within 60 seconds: while one process worked, and
// around failovers and delayed calls.
func (s *storm) judgeCalls(versions []version, calls []workossim.Request, end time.Time) (most, around int) {
	s.t.Helper()
	var wires []trouble
	for _, t := range s.troubles.list() {
		if t.wire {
			wires = append(wires, t)
		}
	}
	var found []string
	for _, key := range []string{apiKey, secondKey} {
		var own []workossim.Request
		for _, c := range calls {
			if c.Key == workossim.Fingerprint(key) {
				own = append(own, c)
			}
		}
		for _, b := range bursts(own, limit, reigns(versions, harness.Namespace+"/storm", end), wires) {
			if b.plain {
				most = max(most, b.calls)
			} else {
				around = max(around, b.calls)
			}
			if b.calls > b.allowed {
				found = append(found, fmt.Sprintf("%d calls in the 60 s from %s, of %d", b.calls, b.from.Format(time.TimeOnly), b.allowed))
			}
		}
	}
	complain(s.t, "calls too many", found)
	return most, around
}

func seconds(span time.Duration) string { return fmt.Sprintf("%.1f", span.Seconds()) }

// kept are the figures of all scenarios so far.
var kept struct {
	mu   sync.Mutex
	rows []figures.Figure
}

// keep adds figures to the figures so far, and records all of them.
func keep(t *testing.T, rows ...figures.Figure) {
	t.Helper()
	kept.mu.Lock()
	defer kept.mu.Unlock()
	kept.rows = append(kept.rows, rows...)
	figures.Record(t, "20-faults", figures.Suite{Name: "Faults, against a real API server", Figures: kept.rows})
}

// oldestOverdue is the leader's metric of the oldest overdue renewal.
func (s *storm) oldestOverdue() time.Duration {
	s.t.Helper()
	leader := s.fleet.leader()
	if leader == nil {
		s.t.Error("nobody leads")
		return 0
	}
	text, err := leader.scrape(context.Background())
	if err != nil {
		s.t.Errorf("reading the metrics: %v", err)
		return 0
	}
	if canary.Find(text) != "" {
		s.t.Error("there is a token or an API key in the metrics")
	}
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, "pipes_operator_oldest_overdue_renewal_seconds "); found {
			seconds, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				s.t.Errorf("reading the metrics: %v", err)
			}
			return time.Duration(seconds * float64(time.Second))
		}
	}
	s.t.Error("the metrics do not tell the oldest overdue renewal")
	return 0
}
