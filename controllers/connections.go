package controllers

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/go-logr/logr"
	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// Connections holds, for each PipesEnvironment, the client that calls WorkOS with its API key.
// The PipesEnvironmentReconciler keeps the clients up to date, and the PipesTokenReconciler uses
// them. API keys are in no cache: each Secret with an API key is read live, by name.
type Connections struct {
	// Reader reads the Secrets with API keys from the API server, without a cache.
	Reader client.Reader
	// Upstream makes the clients.
	Upstream *workos.Upstream
	// AllowedHosts are the hosts that API keys may be sent to: "host", which stands for the
	// default port of the scheme, or "host:port".
	AllowedHosts []string
	// AllowInsecure allows http. It is for development only: with http the API key crosses the
	// network unencrypted.
	AllowInsecure bool
	// Share is the fraction of each requestsPerMinute that this process may use. Zero: all of
	// it.
	Share float64
	// changed is called with the name of an environment that must be reconciled, because its
	// conditions may have changed.
	changed func(types.NamespacedName)
	// recovered is called with an environment whose PipesTokens must be reconciled, even if no
	// change of its status triggers that.
	recovered func(context.Context, *v1alpha1.PipesEnvironment)

	// reads lets many PipesTokens that need the same API key share one read of the Secret.
	reads singleflight.Group

	mu      sync.Mutex
	known   map[types.NamespacedName]*connectionState
	version uint64
}

// connectionState is the state of the connection of one environment.
type connectionState struct {
	uid        types.UID
	generation int64
	// keyVersion is the UID and resourceVersion of the Secret that the key was read from.
	keyVersion string
	client     *workos.Client
	problem    finding.Finding
	// rejected: WorkOS has refused the key.
	rejected bool
	// degraded: the environment was not usable, or its clock skew has changed. Its PipesTokens
	// have not been requeued since then.
	degraded bool
	// baseURL is the base URL of WorkOS. skew is how far the clock of WorkOS is ahead. timed is
	// the skew that the PipesTokens were last notified of.
	baseURL string
	skew    renewal.Skew
	timed   time.Duration
	// trouble is the reason why calls are held back; nil if they are not. heard: this process
	// has sent at least one request, therefore trouble is known.
	trouble *workos.Trouble
	heard   bool
	// since is when the health of this connection was first checked. first is when the health of
	// the environment was first checked.
	since, first time.Time
	// quiet counts key checks in a row at which no PipesToken used the environment, or the
	// operator had no permission to read the Secret.
	quiet int
	// version changes whenever the connection changes.
	version uint64
}

// client returns the client of an environment and the version of the connection, or the problem
// because of which the environment has no client. It reads the API key only if no client exists
// for the current generation of the environment.
func (c *Connections) client(
	ctx context.Context, environment *v1alpha1.PipesEnvironment,
) (*workos.Client, uint64, finding.Finding, error) {
	c.mu.Lock()
	state, ok := c.known[client.ObjectKeyFromObject(environment)]
	c.mu.Unlock()
	if ok && state.isOf(environment) && state.client != nil {
		return state.client, state.version, finding.Finding{}, nil
	}
	read, err, _ := c.reads.Do(fmt.Sprintf("%s %d", environment.UID, environment.Generation), func() (any, error) {
		return c.refreshMissing(ctx, environment)
	})
	if err != nil {
		return nil, 0, finding.Finding{}, err
	}
	state = read.(*connectionState)
	return state.client, state.version, state.problem, nil
}

// refreshMissing reads the API key of an environment that has no client yet. If that changes the
// state of a known environment, it requeues the environment, because its status is out of date.
func (c *Connections) refreshMissing(
	ctx context.Context, environment *v1alpha1.PipesEnvironment,
) (*connectionState, error) {
	name := client.ObjectKeyFromObject(environment)
	c.mu.Lock()
	before, known := c.known[name]
	c.mu.Unlock()
	if known && before.isOf(environment) && before.client != nil {
		return before, nil // another PipesToken has read it just now
	}
	state, err := c.refresh(ctx, environment)
	if err == nil && known && state != before && c.changed != nil {
		c.changed(name)
	}
	return state, err
}

// isOf reports whether the connection was made for this environment and its current generation.
func (s *connectionState) isOf(environment *v1alpha1.PipesEnvironment) bool {
	return s.uid == environment.UID && s.generation == environment.Generation
}

// check reads the API key again and returns the problem of the environment, if any.
func (c *Connections) check(ctx context.Context, environment *v1alpha1.PipesEnvironment) (finding.Finding, error) {
	state, err := c.refresh(ctx, environment)
	if err != nil {
		return finding.Finding{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if state.problem.Present() || !state.rejected {
		return state.problem, nil
	}
	return finding.Newf(v1alpha1.APIKeyRejectedReason,
		"WorkOS refuses the API key: put a valid one into entry %q of Secret %q",
		environment.Spec.APIKeySecretRef.Key, environment.Spec.APIKeySecretRef.Name), nil
}

// versionOf returns the version of the connection of an environment. It changes with the spec of
// the environment and with the API key. Zero: the environment has no connection yet.
func (c *Connections) versionOf(name types.NamespacedName) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state, ok := c.known[name]; ok {
		return state.version
	}
	return 0
}

// heard records what WorkOS's answer says about the API key and about WorkOS itself. version is
// the version of the client that received the answer. heard returns whether that client is still
// the current one. It requeues the environment if the state of the connection has changed.
func (c *Connections) heard(
	environment *v1alpha1.PipesEnvironment, version uint64, answer workos.Answer, now time.Time,
) (current bool) {
	name := client.ObjectKeyFromObject(environment)
	c.mu.Lock()
	state, ok := c.known[name]
	current = ok && state.version == version
	news := current && state.hear(answer, skewIsTold(environment), now)
	c.mu.Unlock()
	if news && c.changed != nil {
		c.changed(name)
	}
	return current
}

// hear records an answer that arrived at now. It reports whether the answer changes the state of
// the connection.
func (s *connectionState) hear(answer workos.Answer, skewIsTold bool, now time.Time) bool {
	before := *s
	s.trouble = nil
	if trouble, troubled := s.client.Trouble(); troubled {
		s.trouble = &trouble
	}
	s.heard = s.heard || answer.Sent
	switch {
	case answer.Outcome == workos.OutcomeKeyRejected:
		s.rejected, s.degraded = true, true
	case answer.Outcome.Authoritative():
		s.rejected = false
	}
	clocks := s.learnClock(answer, skewIsTold, now)
	return !ptr.Equal(s.trouble, before.trouble) || s.heard != before.heard || s.rejected != before.rejected || clocks
}

// tell requeues the PipesTokens of an environment that has recovered. The watch of the
// environment is not enough to notify them. Another shard may have written the status before
// this process had the new API key. If the environment recovers very soon, its status does not
// change at all.
func (c *Connections) tell(ctx context.Context, environment *v1alpha1.PipesEnvironment, problem finding.Finding) {
	c.mu.Lock()
	state, ok := c.known[client.ObjectKeyFromObject(environment)]
	recovered := ok && state.degraded && !problem.Present()
	if ok {
		state.degraded = problem.Present()
	}
	c.mu.Unlock()
	if recovered && c.recovered != nil {
		c.recovered(ctx, environment)
	}
}

// forget drops the connection of a deleted environment.
func (c *Connections) forget(name types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, name)
	c.Upstream.Disconnect(name.String())
}

// refresh reads the API key, and makes a new connection if it or the spec has changed.
func (c *Connections) refresh(ctx context.Context, environment *v1alpha1.PipesEnvironment) (*connectionState, error) {
	fresh := &connectionState{uid: environment.UID, generation: environment.Generation, baseURL: environment.Spec.BaseURL}
	fresh.problem = c.refuse(environment.Spec.BaseURL)
	var key redact.String
	if !fresh.problem.Present() {
		var err error
		if key, fresh.keyVersion, fresh.problem, err = c.readKey(ctx, environment); err != nil {
			return nil, err
		}
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	name := client.ObjectKeyFromObject(environment)
	old, known := c.known[name]
	if known && old.same(fresh) {
		return old, nil
	}
	if !fresh.problem.Present() {
		client, err := c.Upstream.Connect(name.String(), environment.Spec.BaseURL, key, c.requestsPerMinute(environment))
		if err != nil {
			fresh.problem = finding.New(v1alpha1.APIKeyInvalidReason, conditions.Printable(err.Error()))
		}
		fresh.client = client
	}
	// A new key counts as valid until WorkOS refuses it. A key that is found at the start of the
	// process may be the key that was refused before. The status then keeps the reason
	// APIKeyRejected until WorkOS accepts the key.
	fresh.rejected = known && old.rejected && old.keyVersion == fresh.keyVersion ||
		!known && environmentReason(environment) == v1alpha1.APIKeyRejectedReason
	// The problem may be fixed before the next reconcile of the environment. degraded remembers it
	// until the PipesTokens have been requeued.
	fresh.degraded = fresh.rejected || fresh.problem.Present()
	if known {
		fresh.inherit(old)
	}
	c.version++
	fresh.version = c.version
	if c.known == nil {
		c.known = map[types.NamespacedName]*connectionState{}
	}
	c.known[name] = fresh
	return fresh, nil
}

// inherit takes over what the connection before has learned, and what still holds.
func (s *connectionState) inherit(old *connectionState) {
	s.first, s.degraded = old.first, s.degraded || old.degraded
	if old.uid == s.uid && old.baseURL == s.baseURL {
		s.skew, s.timed = old.skew, old.timed
	}
	if old.problem == s.problem {
		s.quiet = old.quiet
	}
}

// requestsPerMinute returns the limit of the environment, or the share of this process in it,
// rounded down. It is at least 1.
func (c *Connections) requestsPerMinute(environment *v1alpha1.PipesEnvironment) int {
	limit := environment.Spec.RequestsPerMinute
	if c.Share > 0 {
		limit = int32(float64(limit) * c.Share)
	}
	return int(max(limit, 1))
}

// same reports whether fresh describes the same environment, the same API key and the same
// problem.
func (s *connectionState) same(fresh *connectionState) bool {
	return s.uid == fresh.uid && s.generation == fresh.generation && s.keyVersion == fresh.keyVersion &&
		(s.client != nil && !fresh.problem.Present() || s.problem == fresh.problem && fresh.problem.Present())
}

// refuse returns why an API key must not be sent to a base URL; the zero finding if it may be
// sent.
func (c *Connections) refuse(baseURL string) finding.Finding {
	parsed, err := url.Parse(baseURL)
	switch {
	case err != nil || parsed.Host == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "":
		return finding.New(v1alpha1.UpstreamNotAllowedReason,
			"spec.baseURL is not a URL such as https://api.workos.com, without user, query or fragment: fix it")
	case parsed.Scheme != "https" && (parsed.Scheme != "http" || !c.AllowInsecure):
		return finding.New(v1alpha1.UpstreamNotAllowedReason,
			"spec.baseURL must begin with https://, so that the API key does not cross the network in the clear "+
				"(for development there is --allow-insecure-upstream)")
	case !c.hostAllowed(parsed):
		return finding.New(v1alpha1.UpstreamNotAllowedReason, conditions.Printable(fmt.Sprintf(
			"The operator may not send API keys to host %q: "+
				"its administrator can add the host to --allowed-upstream-hosts", parsed.Host)))
	default:
		return finding.Finding{}
	}
}

// hostAllowed reports whether API keys may be sent to the host. It compares hosts as DNS does,
// which ignores the case of ASCII letters only: for strings.EqualFold, ſ equals s. Therefore it
// refuses hosts that are not ASCII.
func (c *Connections) hostAllowed(parsed *url.URL) bool {
	if strings.ContainsFunc(parsed.Host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return false
	}
	ownPort := parsed.Port() == "" || parsed.Port() == map[string]string{"https": "443", "http": "80"}[parsed.Scheme]
	return slices.ContainsFunc(c.AllowedHosts, func(allowed string) bool {
		return strings.EqualFold(allowed, parsed.Host) || ownPort && strings.EqualFold(allowed, parsed.Hostname())
	})
}

// readKey reads the API key of an environment. It returns the key, the version of its Secret,
// and a finding if a person has to fix something. An error is an error of the API server.
func (c *Connections) readKey(
	ctx context.Context, environment *v1alpha1.PipesEnvironment,
) (redact.String, string, finding.Finding, error) {
	ref := environment.Spec.APIKeySecretRef
	secret := &corev1.Secret{}
	// client-go logs response bodies at high verbosity, and this body holds the API key.
	// Therefore the logger discards everything.
	err := c.Reader.Get(logr.NewContext(ctx, logr.Discard()),
		client.ObjectKey{Namespace: environment.Namespace, Name: ref.Name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return redact.String{}, "", finding.Newf(v1alpha1.APIKeyNotFoundReason,
			"Secret %q does not exist in namespace %q: create it with the API key in entry %q",
			ref.Name, environment.Namespace, ref.Key), nil
	case apierrors.IsForbidden(err):
		return redact.String{}, "", finding.Newf(v1alpha1.APIKeyForbiddenReason,
			"The operator may not read Secret %q in namespace %q: "+
				"give its service account get on that Secret, by a Role and a RoleBinding there",
			ref.Name, environment.Namespace), nil
	case err != nil:
		return redact.String{}, "", finding.Finding{}, fmt.Errorf("reading Secret %s with the API key: %w", ref.Name, err)
	}
	version := string(secret.UID) + "/" + secret.ResourceVersion
	value, ok := secret.Data[ref.Key]
	if !ok {
		return redact.String{}, version, finding.Newf(v1alpha1.APIKeyNotFoundReason,
			"Secret %q in namespace %q has no entry %q: put the API key there", ref.Name, environment.Namespace, ref.Key), nil
	}
	// Keys come from files and editors, which often add a newline at the end.
	key := strings.TrimSpace(string(value))
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return redact.String{}, version, finding.Newf(v1alpha1.APIKeyInvalidReason,
			"Entry %q of Secret %q is not an API key: it is empty, or has spaces or control characters in it",
			ref.Key, ref.Name), nil
	}
	return redact.NewString(key), version, finding.Finding{}, nil
}
