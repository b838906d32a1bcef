package workos

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// defaultTimeout bounds a whole call, from the dial to the last byte.
const defaultTimeout = 15 * time.Second

// Options are the settings of an Upstream. The zero value is ready for use.
type Options struct {
	// Transport sends the requests. Redirects are not followed with any transport. nil means
	// NewTransport().
	Transport http.RoundTripper
	// UserAgent is sent as User-Agent: "pipes-operator/<version>". Empty means "pipes-operator".
	UserAgent string
	// Timeout bounds a whole call, from the dial to the last byte. 0 means 15 s.
	Timeout time.Duration
	// Patience is how long a caller waits for an answer. After that the request goes on, its
	// answer is kept for the next caller, and OnRecovery calls the owner back. A slow WorkOS
	// then does not occupy workers that others need. 0 means until Timeout.
	Patience time.Duration
	// Clock tells the time for budgets, gates, circuits and ClockSkew. nil means the real
	// clock. Timeout and Patience always use the real clock.
	Clock clock.PassiveClock
}

// Upstream is everything that this process knows about WorkOS: a transport, and the state of
// each API key in use. It is safe for concurrent use.
type Upstream struct {
	transport http.RoundTripper
	userAgent string
	timeout   time.Duration
	patience  time.Duration
	clock     clock.PassiveClock

	epochs    atomic.Uint64
	recovered atomic.Pointer[func(owner string, of Request)]

	mu     sync.Mutex
	owners map[string]*keyState            // by owner
	keys   map[[sha256.Size]byte]*keyState // by the SHA-256 of the key
}

// New returns an Upstream to which no owner is connected yet.
func New(o Options) *Upstream {
	u := &Upstream{
		transport: o.Transport,
		userAgent: cmp.Or(o.UserAgent, "pipes-operator"),
		timeout:   cmp.Or(o.Timeout, defaultTimeout),
		patience:  o.Patience,
		clock:     o.Clock,
		owners:    map[string]*keyState{},
		keys:      map[[sha256.Size]byte]*keyState{},
	}
	if u.transport == nil {
		u.transport = NewTransport()
	}
	if u.clock == nil {
		u.clock = clock.RealClock{}
	}
	return u
}

// Format implements fmt.Formatter. Without it fmt would read state that other goroutines are
// changing.
func (u *Upstream) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "workos.Upstream")
}

// OnRecovery sets the function to call when callers that were held back may ask again before
// their RetryAfter: an integration works again, WorkOS no longer limits the rate, rejects the
// key or asks to wait, or an answer has come for which no caller waited any more. It is called
// for each owner that may have waited, with the request that may be made again. In that
// request, a Slug alone stands for all connections of an integration, and the empty Request for
// all of the owner. Answer.Epoch tells which callers were held back before. The function is
// called before the answer is returned, and must not call this package.
func (u *Upstream) OnRecovery(recovered func(owner string, of Request)) {
	u.recovered.Store(&recovered)
}

// report calls the function that OnRecovery has set.
func (u *Upstream) report(releases []release) {
	recovered := u.recovered.Load()
	if recovered == nil {
		return
	}
	for _, release := range releases {
		for _, owner := range release.owners {
			(*recovered)(owner, release.request)
		}
	}
}

// Connect returns a client that asks at baseURL with key, for owner: the identity of a
// PipesEnvironment, "namespace/name". If the owner is already connected, its key, URL and limit
// are replaced. An earlier client still works, but should be released.
//
// baseURL is an http or https URL with a host. It may have a path, with or without a trailing
// slash. requestsPerMinute is at least 1. Budget and gates belong to the key: owners with the
// same key share them, and the smallest of their requestsPerMinute holds for all. The caller
// must decide whether the host of baseURL may be asked at all.
//
// An error says that baseURL, key or requestsPerMinute is invalid, and contains neither baseURL
// nor key. The owner then keeps its former connection.
func (u *Upstream) Connect(owner, baseURL string, key redact.String, requestsPerMinute int) (*Client, error) {
	base, err := parseBaseURL(baseURL)
	if err != nil {
		return nil, err
	}
	if !visibleASCII(key.Reveal()) {
		return nil, errors.New("the API key is empty, or holds white space, control or non-ASCII characters")
	}
	if requestsPerMinute < 1 {
		return nil, errors.New("requests per minute must be at least 1")
	}

	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.clock.Now()
	id := sha256.Sum256([]byte(key.Reveal()))
	state := u.keys[id]
	if state == nil {
		state = newKeyState(requestsPerMinute, &u.epochs)
		u.keys[id] = state
	}
	state.join(owner, base.String(), requestsPerMinute, now)
	if former := u.owners[owner]; former != nil && former != state {
		former.leave(owner, now)
	}
	u.owners[owner] = state
	u.dropIdleKeys(now)
	return &Client{upstream: u, state: state, owner: owner, base: base, key: key}, nil
}

// Disconnect forgets owner. The state of a key without owners is dropped as soon as it has
// nothing to remember: no gate is closed, and a minute has passed since the last request. A
// PipesEnvironment that is deleted and created again therefore gets no second budget.
func (u *Upstream) Disconnect(owner string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.clock.Now()
	if state := u.owners[owner]; state != nil {
		state.leave(owner, now)
		delete(u.owners, owner)
	}
	u.dropIdleKeys(now)
}

// dropIdleKeys must be called with mu held, whenever owners come or go. State that is still
// needed is dropped at a later call.
func (u *Upstream) dropIdleKeys(now time.Time) {
	for id, state := range u.keys {
		if state.idle(now) {
			delete(u.keys, id)
		}
	}
}

// parseBaseURL returns the URL to which the slugs are appended. Its error does not quote the
// URL, which may contain a password.
func parseBaseURL(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	switch {
	case err != nil, base.Scheme != "https" && base.Scheme != "http", !visibleASCII(base.Hostname()):
		return nil, errors.New("the base URL is not an absolute http or https URL")
	case base.User != nil, base.RawQuery != "", base.ForceQuery, base.Fragment != "":
		return nil, errors.New("the base URL has a user, a query or a fragment")
	}
	base.Host = strings.ToLower(base.Host)
	return base.JoinPath("data-integrations"), nil
}
