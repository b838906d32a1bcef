package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// held is a token that the status of a PipesToken has shown.
type held struct {
	expires, renewal time.Time // from the status, in whole seconds
	seen             time.Time // when the status first showed it
}

// history is the observed history of a PipesToken.
type history struct {
	ready time.Time // when it first became Ready; zero: never
	// unready counts the changes from Ready to not Ready. unreadyAt is the time of the latest
	// change.
	unready   int
	unreadyAt time.Time
	isReady   bool
	tokens    []held
}

// watcher records the history of every PipesToken. It starts its watch before the measurement
// and ends it afterwards, so that the watch is not in the request counts.
type watcher struct {
	root client.WithWatch
	stop context.CancelFunc
	done chan struct{}

	mu        sync.Mutex
	histories map[int]*history
	ready     int         // number of PipesTokens that are Ready
	held      map[int]int // number of PipesTokens that have had at least this many tokens
	restarts  int
	err       error
}

// watchTokens starts to watch.
func watchTokens(ctx context.Context, root client.WithWatch) *watcher {
	ctx, stop := context.WithCancel(ctx)
	w := &watcher{root: root, stop: stop, done: make(chan struct{}), histories: map[int]*history{}, held: map[int]int{}}
	go func() {
		defer close(w.done)
		err := w.run(ctx)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = err
	}()
	return w
}

func (w *watcher) close() {
	w.stop()
	<-w.done
}

// run watches until ctx ends. The API server ends the watch of a slow client. run then starts a
// new watch from the current state.
func (w *watcher) run(ctx context.Context) error {
	for first := true; ctx.Err() == nil; first = false {
		if !first {
			w.mu.Lock()
			w.restarts++
			w.mu.Unlock()
		}
		events, err := w.root.Watch(ctx, &v1alpha1.PipesTokenList{}, &client.ListOptions{
			Raw: &metav1.ListOptions{TimeoutSeconds: ptr.To[int64](24 * 3600)},
		})
		if err != nil {
			return fmt.Errorf("watching PipesTokens: %w", err)
		}
		for event := range events.ResultChan() {
			w.see(event, time.Now())
		}
		events.Stop()
	}
	return nil
}

// see records an event.
func (w *watcher) see(event watch.Event, now time.Time) {
	token, ok := event.Object.(*v1alpha1.PipesToken)
	if !ok {
		return
	}
	object, err := strconv.Atoi(token.Name[strings.LastIndex(token.Name, "-")+1:])
	if err != nil {
		return // not a measured PipesToken
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.histories[object]
	if h == nil {
		h = &history{}
		w.histories[object] = h
	}
	if event.Type == watch.Deleted {
		w.count(h, -1)
		delete(w.histories, object)
		return
	}
	w.count(h, -1)
	h.add(token, now)
	w.count(h, 1)
}

// count adds one, which is 1 or -1, to the counters of a history.
func (w *watcher) count(h *history, one int) {
	if h.isReady {
		w.ready += one
	}
	for i := range h.tokens {
		w.held[i+1] += one
	}
}

func (h *history) add(token *v1alpha1.PipesToken, now time.Time) {
	ready := meta.IsStatusConditionTrue(token.Status.Conditions, v1alpha1.ReadyCondition)
	if ready && h.ready.IsZero() {
		h.ready = now
	}
	if h.isReady && !ready {
		h.unready++
		h.unreadyAt = now
	}
	h.isReady = ready
	status := token.Status
	if status.ExpirationTime == nil || status.RenewalTime == nil {
		return
	}
	if n := len(h.tokens); n == 0 || !h.tokens[n-1].expires.Equal(status.ExpirationTime.Time) {
		h.tokens = append(h.tokens, held{expires: status.ExpirationTime.UTC(), renewal: status.RenewalTime.UTC(), seen: now})
	}
}

// readyTimes returns when each PipesToken first became Ready.
func (w *watcher) readyTimes() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	var times []time.Time
	for _, h := range w.histories {
		if !h.ready.IsZero() {
			times = append(times, h.ready)
		}
	}
	return times
}

// firstUnready returns the earliest time after since at which a PipesToken stopped being Ready.
func (w *watcher) firstUnready(since time.Time) (first time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.histories {
		if at := h.unreadyAt; at.After(since) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// allSeen reports whether n PipesTokens are watched.
func (w *watcher) allSeen(n int) (missing string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lacking(len(w.histories), n, "are watched")
}

// allReady reports whether n PipesTokens are Ready now.
func (w *watcher) allReady(n int) (missing string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lacking(w.ready, n, "are Ready")
}

// noneReady reports whether no PipesToken is Ready now.
func (w *watcher) noneReady() (missing string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ready > 0 {
		missing = fmt.Sprintf("%d still are", w.ready)
	}
	return missing, w.err
}

// allHaveHeld reports whether n PipesTokens have each had this many tokens.
func (w *watcher) allHaveHeld(n, tokens int) (missing string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lacking(w.held[tokens], n, fmt.Sprintf("have had %d tokens", tokens))
}

// allReadyAmong reports whether the PipesTokens with the numbers from first up to, but not
// including, end are Ready now.
func (w *watcher) allReadyAmong(first, end int) (missing string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	count := 0
	for object := first; object < end; object++ {
		if h := w.histories[object]; h != nil && h.isReady {
			count++
		}
	}
	return w.lacking(count, end-first, "are Ready")
}

func (w *watcher) lacking(count, n int, what string) (missing string, err error) {
	if count < n {
		missing = fmt.Sprintf("%d of %d %s", count, n, what)
	}
	return missing, w.err
}

// least returns the smallest number of tokens that any PipesToken has had.
func (w *watcher) least() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	least := math.MaxInt
	for _, h := range w.histories {
		least = min(least, len(h.tokens))
	}
	return least
}

// snapshot returns a copy of all histories.
func (w *watcher) snapshot() map[int]history {
	w.mu.Lock()
	defer w.mu.Unlock()
	histories := make(map[int]history, len(w.histories))
	for object, h := range w.histories {
		histories[object] = *h // a shallow copy is enough: tokens is append-only
	}
	return histories
}
