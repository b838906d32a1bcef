//go:build reliability

package faults_test

import (
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// path is one event for a PipesToken, and the operator's reaction to it.
type path struct {
	name string
	// change changes the connection and the spec of the default scene.
	change func(*workossim.Connection, *v1alpha1.PipesTokenSpec)
	// begin brings the scene to the start of the path. nil: the Secret contains a token.
	begin func(*scene)
	// happens is the event. nil: only time passes.
	happens func(*scene)
	// reason is the reason of Ready at the end.
	reason string
	// holds is what the Secret holds at the end.
	holds content
	// also must hold at the end, too.
	also func(Gomega, *scene)
	// events is the number of events that the operator emits.
	events int
	// quiet: the operator writes nothing.
	quiet bool
}

// content is what a Secret holds at the end.
type content string

const (
	newToken content = "a token that is newer than the one in the beginning"
	oldToken content = "the token of the beginning"
	noToken  content = "no token"
	nothing  content = "nothing, because there is no Secret"
	foreign  content = "what somebody else has put there"
)

func always(policy v1alpha1.InactivePolicy) func(*workossim.Connection, *v1alpha1.PipesTokenSpec) {
	return func(_ *workossim.Connection, spec *v1alpha1.PipesTokenSpec) { spec.InactivePolicy = policy }
}

func sameToken(c *workossim.Connection, _ *v1alpha1.PipesTokenSpec) { c.AlwaysFresh = false }

func shortLived(c *workossim.Connection, _ *v1alpha1.PipesTokenSpec) { c.Lifetime = 20 * time.Second }

// longLived gives all later tokens a long lifetime, so that a path has exactly one renewal.
func longLived(s *scene) {
	s.synced()
	s.connection.Lifetime = time.Hour
	s.upstream.Put(s.connection)
}

func disconnect(s *scene) {
	s.upstream.SetState(s.connection.ID, workossim.NotInstalled)
	s.requestRefresh()
}

func disconnected(s *scene) {
	s.synced()
	disconnect(s)
	s.becomes(v1alpha1.NotInstalledReason)
}

func withdrawGrant(s *scene) { s.edit(s.environment, func() { s.environment.Spec.Grants = nil }) }

// paths are the paths on which only the operator writes the Secret.
var paths = []path{
	{name: "create", begin: func(*scene) {}, happens: (*scene).create, reason: v1alpha1.TokenSyncedReason, holds: newToken, events: 1},
	{name: "create without a connection",
		begin:   func(s *scene) { s.upstream.Remove(s.connection.ID) },
		happens: (*scene).create, reason: v1alpha1.NotInstalledReason, holds: nothing, events: 1},
	{name: "rotation", change: shortLived, begin: longLived, reason: v1alpha1.TokenSyncedReason, holds: newToken},
	{name: "renewal with the same token again",
		change: func(c *workossim.Connection, _ *v1alpha1.PipesTokenSpec) {
			c.Lifetime, c.AlwaysFresh = 20*time.Second, false
		},
		also: func(g Gomega, s *scene) {
			g.Expect(len(s.upstream.RequestsFor(s.connection.ID))).To(BeNumerically(">", 1), "it has been asked for")
		},
		reason: v1alpha1.TokenSyncedReason, holds: oldToken, quiet: true},
	{name: "refresh on request", happens: (*scene).requestRefresh, also: refreshHandled, reason: v1alpha1.TokenSyncedReason, holds: newToken},
	{name: "refresh on request with the same token again", change: sameToken, happens: (*scene).requestRefresh, also: refreshHandled,
		reason: v1alpha1.TokenSyncedReason, holds: oldToken},
	{name: "a renewal that fails at first", change: sameToken,
		happens: func(s *scene) {
			id := s.connection.ID
			s.upstream.Inject(workossim.Fault{Match: &id, Kind: workossim.FaultServerError, Times: 1})
			s.requestRefresh()
		},
		also: refreshHandled, reason: v1alpha1.TokenSyncedReason, holds: oldToken, events: 2},
	{name: "disconnected, Clear", change: always(v1alpha1.InactivePolicyClear), happens: disconnect, also: refreshHandled,
		reason: v1alpha1.NotInstalledReason, holds: noToken, events: 1},
	{name: "disconnected, Delete", change: always(v1alpha1.InactivePolicyDelete), happens: disconnect, also: refreshHandled,
		reason: v1alpha1.NotInstalledReason, holds: nothing, events: 1},
	{name: "disconnected, Retain", change: always(v1alpha1.InactivePolicyRetain), happens: disconnect, also: refreshHandled,
		reason: v1alpha1.NotInstalledReason, holds: oldToken, events: 1},
	{name: "connected again", begin: disconnected,
		happens: func(s *scene) {
			s.upstream.SetState(s.connection.ID, workossim.Connected)
			s.requestRefresh()
		},
		also: refreshHandled, reason: v1alpha1.TokenSyncedReason, holds: newToken, events: 1},
	{name: "grant withdrawn", happens: withdrawGrant, also: environmentObserved, reason: v1alpha1.NotGrantedReason, holds: noToken, events: 1},
	{name: "grant given",
		begin: func(s *scene) {
			s.synced()
			withdrawGrant(s)
			s.becomes(v1alpha1.NotGrantedReason)
			s.eventually(func(g Gomega) { environmentObserved(g, s) })
		},
		happens: func(s *scene) {
			s.edit(s.environment, func() {
				s.environment.Spec.Grants = anythingFor(s.namespace)
			})
		},
		also: environmentObserved, reason: v1alpha1.TokenSyncedReason, holds: newToken, events: 1},
	{name: "environment without its key",
		happens: func(s *scene) { s.edit(s.environment, func() { s.environment.Spec.APIKeySecretRef.Name = "none" }) },
		also:    environmentObserved, reason: v1alpha1.TokenSyncedReason, holds: oldToken, events: 1},
	{name: "suspended",
		happens: func(s *scene) { s.edit(s.token, func() { s.token.Spec.Suspend = true }) },
		reason:  v1alpha1.TokenSyncedReason, holds: oldToken},
	{name: "renewed earlier from now on",
		happens: func(s *scene) {
			s.edit(s.token, func() { s.token.Spec.RenewBefore = &metav1.Duration{Duration: 20 * time.Minute} })
		},
		reason: v1alpha1.TokenSyncedReason, holds: oldToken},
}

// strangePaths are the paths on which somebody else changes the Secret.
var strangePaths = []path{
	{name: "created again, and the Secret of its predecessor collected", reason: v1alpha1.TokenSyncedReason, holds: newToken, events: 1,
		begin: func(s *scene) {
			s.synced()
			s.recreate(func() {})
			s.create()
			s.becomes(v1alpha1.SecretConflictReason)
		},
		happens: func(s *scene) { s.g.Expect(s.plane.root.Delete(s.ctx, s.secret())).To(Succeed()) }},
	{name: "template changed", reason: v1alpha1.TokenSyncedReason, holds: newToken,
		happens: func(s *scene) {
			s.edit(s.token, func() {
				s.token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataTemplate{".netrc": "password {{ .AccessToken }}"}}
			})
		}},
	{name: "data edited", reason: v1alpha1.TokenSyncedReason, holds: newToken,
		happens: func(s *scene) {
			secret := s.secret()
			s.edit(secret, func() { secret.Data["access_token"] = []byte("theirs") })
		}},
	{name: "Secret deleted", reason: v1alpha1.TokenSyncedReason, holds: newToken,
		happens: func(s *scene) { s.g.Expect(s.plane.root.Delete(s.ctx, s.secret())).To(Succeed()) }},
	{name: "label taken off", reason: v1alpha1.TokenSyncedReason, holds: oldToken, also: labelled,
		happens: func(s *scene) {
			secret := s.secret()
			s.edit(secret, func() { delete(secret.Labels, v1alpha1.ManagedByLabel) })
		}},
	{name: "template broken", reason: v1alpha1.InvalidTemplateReason, holds: oldToken, events: 1,
		happens: func(s *scene) {
			s.edit(s.token, func() {
				s.token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataTemplate{".netrc": "{{ range .Scopes }}{{ end }}"}}
			})
		}},
	{name: "labels of the template changed", reason: v1alpha1.TokenSyncedReason, holds: oldToken,
		happens: func(s *scene) {
			s.edit(s.token, func() {
				s.token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Labels: map[string]v1alpha1.LabelValue{"team": "red"}}
			})
		},
		also: func(g Gomega, s *scene) { g.Expect(s.readSecret(g).Labels).To(HaveKeyWithValue("team", "red")) }},
	{name: "orphan taken over", reason: v1alpha1.TokenSyncedReason, holds: newToken, events: 1,
		begin: func(s *scene) {
			s.synced()
			s.recreate(func() {
				secret := s.secret()
				s.edit(secret, func() { secret.OwnerReferences = nil })
			})
		},
		happens: (*scene).create},
	{name: "created again, with the Secret of its predecessor still there", reason: v1alpha1.SecretConflictReason, holds: foreign, events: 1,
		begin:   func(s *scene) { s.synced(); s.recreate(func() {}) },
		happens: (*scene).create},
	{name: "name taken", reason: v1alpha1.SecretConflictReason, holds: foreign, events: 1,
		begin: func(s *scene) {
			s.g.Expect(s.plane.root.Create(s.ctx, strangersSecret(s.namespace, s.token.Name))).To(Succeed())
		},
		happens: (*scene).create},
}

// refreshHandled expects that the status shows the refresh request as handled.
func refreshHandled(g Gomega, s *scene) {
	g.Expect(s.token.Status.LastHandledRefreshRequest).To(Equal(s.token.Annotations[v1alpha1.RefreshRequestedAtAnnotation]))
}

// environmentObserved expects that the status of the environment is of its newest generation.
func environmentObserved(g Gomega, s *scene) {
	environment := s.environment.DeepCopy()
	g.Expect(s.plane.root.Get(s.ctx, client.ObjectKeyFromObject(environment), environment)).To(Succeed())
	g.Expect(environment.Status.ObservedGeneration).To(Equal(environment.Generation))
}

// labelled expects that the Secret has its label again.
func labelled(g Gomega, s *scene) {
	g.Expect(s.readSecret(g).Labels).To(HaveKeyWithValue(v1alpha1.ManagedByLabel, v1alpha1.ManagedByValue))
}
