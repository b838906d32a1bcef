//go:build reliability

package faults_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// weather runs faults that affect all PipesTokens. Two sequences run at the same time: one on the
// side of the API server and the replicas, the other on the side of WorkOS. Each fault is
// bounded, and followed by a pause that is a little longer than the fault. Back-off delays are
// about as long as the trouble before them, so the next attempt falls into the pause.
type weather struct {
	storm  *storm
	random *rand.Rand
}

// disaster is a fault that lasts until do returns. do gets the duration as span.
type disaster struct {
	name string
	do   func(ctx context.Context, span time.Duration)
	// breaksWatches: after this fault, the process may wait a while before it watches again.
	breaksWatches bool
}

// rewatched is for how long before the end of a spell no more watches are broken. After many
// failures client-go waits 30 to 60 seconds before it tries again, and it resets this delay only
// after two minutes. With this margin, at least half of that wait is over when the spell ends.
const rewatched = 30 * time.Second

// settled is for how long the effects of a fault may last after its end: connections and watches
// are restored with delays.
const settled = 5 * time.Second

// blow runs the disasters of a deck one after the other, in random order, until ctx ends.
func (w *weather) blow(ctx context.Context, deck []disaster) {
	for ; ctx.Err() == nil; pass(ctx, time.Second) {
		w.random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for _, d := range deck {
			if ctx.Err() != nil {
				return
			}
			if deadline, limited := ctx.Deadline(); limited && d.breaksWatches && time.Until(deadline) < rewatched {
				continue
			}
			span := 4*time.Second + time.Duration(w.random.Int64N(int64(7*time.Second)))
			w.storm.note(d.name)
			d.do(ctx, span)
			pass(ctx, span+4*time.Second)
		}
	}
}

// onThisSide returns the disasters on the side of the API server.
func (w *weather) onThisSide() []disaster {
	deck := []disaster{
		{"SIGKILL of a replica", w.killReplica, false},
		{"SIGKILL of the leader", w.killLeader, false},
		{"SIGSTOP past the Lease, then SIGCONT", w.freezeLeader, false},
		{"API server restarted", w.restartAPIServer, true},
		{"API server restarted, etcd compacted", w.restartCompacted, true},
		{"throttled", w.ruled("throttled"), true},
		{"unavailable", w.ruled("unavailable"), true},
		{"watches refused", w.ruled("watches refused"), true},
		{"watches too old", w.ruled("watches too old at once"), true},
		{"slow API server", w.ruled("slow"), true},
		{"answers to writes lost", w.ruled("answers to writes lost"), true},
	}
	for _, bad := range toxics {
		deck = append(deck, disaster{bad.kind + " to the API server", func(ctx context.Context, span time.Duration) {
			w.poisoned(ctx, span, bad, w.storm.fleet.replicas[w.random.IntN(2)].wire)
		}, true})
	}
	return deck
}

// onThatSide returns the disasters on the side of WorkOS: every kind of fault for all
// connections, every form of Retry-After, and bad wires.
func (w *weather) onThatSide() []disaster {
	var deck []disaster
	for _, bad := range toxics {
		deck = append(deck, disaster{bad.kind + " to WorkOS", func(ctx context.Context, span time.Duration) {
			w.poisoned(ctx, span, bad, w.storm.workos)
		}, false})
	}
	for _, kind := range workossim.FaultKinds() {
		deck = append(deck, disaster{"WorkOS: " + string(kind) + " for all", func(ctx context.Context, span time.Duration) {
			w.misbehaving(ctx, span, faultOf(kind, 0))
		}, false})
	}
	for name, f := range map[string]workossim.Fault{
		"429 with seconds":          {Kind: workossim.FaultRateLimited, RetryAfter: "4"},
		"429 with a date":           {Kind: workossim.FaultRateLimited, RetryAfterDate: 5 * time.Second},
		"503 with seconds":          {Kind: workossim.FaultStatus, Status: http.StatusServiceUnavailable, RetryAfter: "4"},
		"Retry-After out of reason": {Kind: workossim.FaultRateLimited, RetryAfter: "soon"},
	} {
		deck = append(deck, disaster{"WorkOS: " + name + " for all", func(ctx context.Context, span time.Duration) { w.misbehaving(ctx, span, f) }, false})
	}
	// Maps have no order, and the seed must determine the order.
	slices.SortFunc(deck, func(a, b disaster) int { return strings.Compare(a.name, b.name) })
	return deck
}

// faultOf returns a fault of a kind with the fields that the kind needs. The other forms of
// faults send the statuses that hold back the whole API key for long.
func faultOf(kind workossim.FaultKind, times int) workossim.Fault {
	f := workossim.Fault{Kind: kind, Times: times}
	switch kind {
	case workossim.FaultStatus:
		f.Status = http.StatusBadGateway
	case workossim.FaultLatency:
		f.Latency = 1500 * time.Millisecond
	case workossim.FaultDateOffset:
		f.DateOffset = -2 * time.Hour
	}
	return f
}

func (w *weather) killReplica(context.Context, time.Duration) {
	w.storm.fleet.kill(w.storm.fleet.replicas[w.random.IntN(2)])
}

func (w *weather) killLeader(context.Context, time.Duration) {
	if leader := w.storm.fleet.leader(); leader != nil {
		w.storm.fleet.kill(leader)
	}
}

func (w *weather) freezeLeader(ctx context.Context, span time.Duration) {
	if leader := w.storm.fleet.leader(); leader != nil {
		w.storm.fleet.freeze(ctx, leader, 15*time.Second+span)
	}
}

func (w *weather) restartAPIServer(ctx context.Context, span time.Duration) {
	w.storm.troubles.during("the API server is away", settled, func() {
		w.storm.plane.restartAPIServer(w.storm.t, func() { pass(ctx, span/2) })
	})
}

func (w *weather) restartCompacted(ctx context.Context, span time.Duration) {
	if err := w.storm.plane.etcd.compact(ctx); err != nil && ctx.Err() == nil {
		w.storm.fleet.noteError(fmt.Errorf("compacting: %w", err))
	}
	w.restartAPIServer(ctx, span)
}

// ruled makes both doors use a rule, except for the leader election. A slow API server is slow for
// it too.
func (w *weather) ruled(name string) func(context.Context, time.Duration) {
	r := func(seen request) *intervention {
		if seen.isLease() && name != "slow" {
			return nil
		}
		return rules[name](seen)
	}
	return func(ctx context.Context, span time.Duration) {
		w.storm.troubles.during("the way to the API server is obstructed", settled, func() {
			for _, replica := range w.storm.fleet.replicas {
				replica.door.set("weather", r)
				replica.door.cutWatches()
			}
			pass(ctx, span)
			for _, replica := range w.storm.fleet.replicas {
				replica.door.set("weather", nil)
			}
		})
	}
}

func (w *weather) poisoned(ctx context.Context, span time.Duration, bad toxic, poisoned *wire) {
	from := time.Now()
	if err := poisoned.poison(bad); err != nil {
		w.storm.fleet.noteError(err)
		return
	}
	pass(ctx, span)
	if err := poisoned.heal(bad); err != nil {
		w.storm.fleet.noteError(err)
	}
	w.storm.troubles.add(trouble{from: from, to: time.Now().Add(settled), what: bad.kind, wire: poisoned == w.storm.workos})
}

// misbehaving makes WorkOS misbehave for all connections. ClearFaults also clears the faults for
// single connections that are left.
func (w *weather) misbehaving(ctx context.Context, span time.Duration, f workossim.Fault) {
	w.storm.troubles.during(string(f.Kind), settled, func() {
		w.storm.upstream.Inject(f)
		pass(ctx, span)
		w.storm.upstream.ClearFaults()
	})
}

// sortedKeys returns the keys of a map, sorted.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
