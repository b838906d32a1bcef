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
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// Connections holds, for each PipesEnvironment, the client that calls WorkOS with its API key. The PipesEnvironmentReconciler
// keeps them fresh; PipesTokens use what is there. API keys are in no cache: each is read live, by name.
type Connections struct {
	// Reader reads the Secrets with API keys, live.
	Reader client.Reader
	// Upstream makes the clients.
	Upstream *workos.Upstream
	// AllowedHosts are the hosts that API keys may be sent to: "host", which stands for the scheme's own port, or
	// "host:port".
	AllowedHosts []string
	// AllowInsecure allows http. For development only: the API key then crosses the network in the clear.
	AllowInsecure bool
	// Share is the part of each requestsPerMinute that this process may use; zero: all.
	Share float64
	// changed is told the name of an environment whose condition has to be looked at again.
	changed func(types.NamespacedName)
	// recovered is told of an environment whose PipesTokens have to be looked at again, although no status says so.
	recovered func(context.Context, *v1alpha1.PipesEnvironment)

	// reads has many PipesTokens that need the same API key share one read of it.
	reads singleflight.Group

	mu      sync.Mutex
	known   map[types.NamespacedName]*connectionState
	version uint64
}

// connectionState is what is known of one environment's connection.
type connectionState struct {
	uid        types.UID
	generation int64
	// keyVersion is the UID and resourceVersion of the Secret that the key was read from.
	keyVersion string
	client     *workos.Client
	problem    finding
	// rejected: WorkOS has refused the key.
	rejected bool
	// unwell: the environment could not be used, or its clock was not known, and PipesTokens have not
	// been told since that it can be.
	unwell bool
	// baseURL is where it leads, and skew how far the clock there is ahead. timed is what the skew was
	// when the PipesTokens were last told.
	baseURL string
	skew    renewal.Skew
	timed   time.Duration
	// trouble is why calls are held back; nil when they are not. heard: an answer has told whether they are.
	trouble *workos.Trouble
	heard   bool
	// since is when its health was first looked at, and first when that of the environment was.
	since, first time.Time
	// quiet counts checks in a row that nobody waited for.
	quiet int
	// version moves whenever the connection does.
	version uint64
}

// client returns the client of an environment and its version, or the problem that keeps the environment from having one. It reads
// the API key only when the environment is new to it or has changed.
func (c *Connections) client(ctx context.Context, environment *v1alpha1.PipesEnvironment) (*workos.Client, uint64, finding, error) {
	c.mu.Lock()
	state, ok := c.known[client.ObjectKeyFromObject(environment)]
	c.mu.Unlock()
	if ok && state.isOf(environment) && state.client != nil {
		return state.client, state.version, finding{}, nil
	}
	read, err, _ := c.reads.Do(fmt.Sprintf("%s %d", environment.UID, environment.Generation), func() (any, error) {
		return c.refreshMissing(ctx, environment)
	})
	if err != nil {
		return nil, 0, finding{}, err
	}
	state = read.(*connectionState)
	return state.client, state.version, state.problem, nil
}

// refreshMissing reads the API key of an environment that has no client yet. Where that ends what was reported on the environment, it has
// the environment reconciled.
func (c *Connections) refreshMissing(ctx context.Context, environment *v1alpha1.PipesEnvironment) (*connectionState, error) {
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

// isOf says whether a connection is that of an environment as it is.
func (s *connectionState) isOf(environment *v1alpha1.PipesEnvironment) bool {
	return s.uid == environment.UID && s.generation == environment.Generation
}

// check reads the API key anew and returns what is wrong with the environment, if anything.
func (c *Connections) check(ctx context.Context, environment *v1alpha1.PipesEnvironment) (finding, error) {
	state, err := c.refresh(ctx, environment)
	if err != nil {
		return finding{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if state.problem.present() || !state.rejected {
		return state.problem, nil
	}
	return finding{v1alpha1.APIKeyRejectedReason, fmt.Sprintf(
		"WorkOS refuses the API key: put a valid one into entry %q of Secret %q", environment.Spec.APIKeySecretRef.Key, environment.Spec.APIKeySecretRef.Name)}, nil
}

// versionOf tells one client of an environment from the next: it moves when the API key or the base URL does. Zero: there has
// been none.
func (c *Connections) versionOf(name types.NamespacedName) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state, ok := c.known[name]; ok {
		return state.version
	}
	return 0
}

// heard notes what WorkOS's answer to the client of that version says about its API key, and about WorkOS. It returns whether there is no
// later client by now.
func (c *Connections) heard(environment *v1alpha1.PipesEnvironment, version uint64, answer workos.Answer, now time.Time) (current bool) {
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

// hear takes note of an answer that came now, and says whether it is news.
func (s *connectionState) hear(answer workos.Answer, skewIsTold bool, now time.Time) bool {
	before := *s
	s.trouble = nil
	if trouble, troubled := s.client.Trouble(); troubled {
		s.trouble = &trouble
	}
	s.heard = s.heard || answer.Sent
	switch {
	case answer.Outcome == workos.OutcomeKeyRejected:
		s.rejected, s.unwell = true, true
	case answer.Outcome.Authoritative():
		s.rejected = false
	}
	clocks := s.learnClock(answer, skewIsTold, now)
	return !ptr.Equal(s.trouble, before.trouble) || s.heard != before.heard || s.rejected != before.rejected || clocks
}

// tell has the PipesTokens of an environment looked at again once it can be used again. The status does not always tell them: another
// shard may have written it before the client here had the new API key, and it stays as it is where that follows at once.
func (c *Connections) tell(ctx context.Context, environment *v1alpha1.PipesEnvironment, problem finding) {
	c.mu.Lock()
	state, ok := c.known[client.ObjectKeyFromObject(environment)]
	recovered := ok && state.unwell && !problem.present()
	if ok {
		state.unwell = problem.present()
	}
	c.mu.Unlock()
	if recovered && c.recovered != nil {
		c.recovered(ctx, environment)
	}
}

// forget drops the connection of an environment that is gone.
func (c *Connections) forget(name types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, name)
	c.Upstream.Disconnect(name.String())
}

func (c *Connections) refresh(ctx context.Context, environment *v1alpha1.PipesEnvironment) (*connectionState, error) {
	fresh := &connectionState{uid: environment.UID, generation: environment.Generation, baseURL: environment.Spec.BaseURL}
	fresh.problem = c.refuse(environment.Spec.BaseURL)
	var key redact.String
	if !fresh.problem.present() {
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
	if !fresh.problem.present() {
		client, err := c.Upstream.Connect(name.String(), environment.Spec.BaseURL, key, c.requestsPerMinute(environment))
		if err != nil {
			fresh.problem = finding{v1alpha1.APIKeyInvalidReason, printable(err.Error())}
		}
		fresh.client = client
	}
	// A new key is innocent until WorkOS refuses it. One that a process finds at its start may be the one that was refused
	// before: the status keeps saying so until WorkOS accepts it.
	fresh.rejected = known && old.rejected && old.keyVersion == fresh.keyVersion || !known && environmentReason(environment) == v1alpha1.APIKeyRejectedReason
	// That may be mended before the next pass over the environment.
	fresh.unwell = fresh.rejected || fresh.problem.present()
	if known {
		fresh.first, fresh.unwell = old.first, fresh.unwell || old.unwell
	}
	if known && old.uid == fresh.uid && old.baseURL == fresh.baseURL {
		fresh.skew, fresh.timed = old.skew, old.timed
	}
	if known && old.problem == fresh.problem {
		fresh.quiet = old.quiet
	}
	c.version++
	fresh.version = c.version
	if c.known == nil {
		c.known = map[types.NamespacedName]*connectionState{}
	}
	c.known[name] = fresh
	return fresh, nil
}

// requestsPerMinute is the environment's, or this shard's part of it, rounded down; at least one.
func (c *Connections) requestsPerMinute(environment *v1alpha1.PipesEnvironment) int {
	limit := environment.Spec.RequestsPerMinute
	if c.Share > 0 {
		limit = int32(float64(limit) * c.Share)
	}
	return int(max(limit, 1))
}

// same says whether a fresh look found nothing new.
func (s *connectionState) same(fresh *connectionState) bool {
	return s.uid == fresh.uid && s.generation == fresh.generation && s.keyVersion == fresh.keyVersion &&
		(s.client != nil && !fresh.problem.present() || s.problem == fresh.problem && fresh.problem.present())
}

// refuse says why an API key must not be sent to a base URL, if so.
func (c *Connections) refuse(baseURL string) finding {
	parsed, err := url.Parse(baseURL)
	switch {
	case err != nil || parsed.Host == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "":
		return finding{v1alpha1.UpstreamNotAllowedReason,
			"spec.baseURL is not a URL such as https://api.workos.com, without user, query or fragment: fix it"}
	case parsed.Scheme != "https" && (parsed.Scheme != "http" || !c.AllowInsecure):
		return finding{v1alpha1.UpstreamNotAllowedReason,
			"spec.baseURL must begin with https://, so that the API key does not cross the network in the clear (for development there is --allow-insecure-upstream)"}
	case !c.hostAllowed(parsed):
		return finding{v1alpha1.UpstreamNotAllowedReason, printable(fmt.Sprintf(
			"The operator may not send API keys to host %q: its administrator can add the host to --allowed-upstream-hosts", parsed.Host))}
	default:
		return finding{}
	}
}

// hostAllowed compares hosts as DNS does, which knows the letters of ASCII in two cases and no others: to strings.EqualFold, ſ is an s.
func (c *Connections) hostAllowed(parsed *url.URL) bool {
	if strings.ContainsFunc(parsed.Host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return false
	}
	ownPort := parsed.Port() == "" || parsed.Port() == map[string]string{"https": "443", "http": "80"}[parsed.Scheme]
	return slices.ContainsFunc(c.AllowedHosts, func(allowed string) bool {
		return strings.EqualFold(allowed, parsed.Host) || ownPort && strings.EqualFold(allowed, parsed.Hostname())
	})
}

// readKey reads the API key of an environment. A problem is what a person can mend; an error is the API server's.
func (c *Connections) readKey(ctx context.Context, environment *v1alpha1.PipesEnvironment) (redact.String, string, finding, error) {
	ref := environment.Spec.APIKeySecretRef
	secret := &corev1.Secret{}
	// client-go logs response bodies when its verbosity is high enough; this one holds the key.
	err := c.Reader.Get(logr.NewContext(ctx, logr.Discard()), client.ObjectKey{Namespace: environment.Namespace, Name: ref.Name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return redact.String{}, "", finding{v1alpha1.APIKeyNotFoundReason, fmt.Sprintf(
			"Secret %q does not exist in namespace %q: create it with the API key in entry %q", ref.Name, environment.Namespace, ref.Key)}, nil
	case apierrors.IsForbidden(err):
		return redact.String{}, "", finding{v1alpha1.APIKeyForbiddenReason, fmt.Sprintf(
			"The operator may not read Secret %q in namespace %q: give its service account get on that Secret, by a Role and a RoleBinding there", ref.Name, environment.Namespace)}, nil
	case err != nil:
		return redact.String{}, "", finding{}, fmt.Errorf("reading Secret %s with the API key: %w", ref.Name, err)
	}
	version := string(secret.UID) + "/" + secret.ResourceVersion
	value, ok := secret.Data[ref.Key]
	if !ok {
		return redact.String{}, version, finding{v1alpha1.APIKeyNotFoundReason, fmt.Sprintf(
			"Secret %q in namespace %q has no entry %q: put the API key there", ref.Name, environment.Namespace, ref.Key)}, nil
	}
	// Keys come from files and editors, which like to end in a newline.
	key := strings.TrimSpace(string(value))
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return redact.String{}, version, finding{v1alpha1.APIKeyInvalidReason, fmt.Sprintf(
			"Entry %q of Secret %q is not an API key: it is empty, or has spaces or control characters in it", ref.Key, ref.Name)}, nil
	}
	return redact.NewString(key), version, finding{}, nil
}
