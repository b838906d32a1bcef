//go:build reliability

package model_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

const (
	// patience is the longest time, by docs/explanation/renewal.md, until everything is correct
	// after all faults have ended: a slow poll comes after at most ten minutes, and a retry after
	// at most five.
	patience = 10*time.Minute + 30*time.Second
	// quietTime is for how long the healthy state is watched.
	quietTime = 10 * time.Minute
	// ceiling is the longest time between two reconciles of an object.
	ceiling = 30 * time.Minute
)

// settle ends all faults, waits for the promised time of convergence, and checks that everything
// is correct.
func (w *world) settle() {
	w.heal()
	w.buryTheDead()
	for _, o := range w.operators[1:] {
		o.dead = true
	}
	w.buryTheDead()
	survivor := w.operators[0]
	w.logf("all is well again, and %d goes on", survivor.id)
	hold := survivor.longestHold()
	if w.takesTheCeiling {
		// Only the ceiling requeues objects whose timers are wrong. The waits that a fast clock
		// has noted are counted from then on.
		survivor.run(ceiling)
	}
	survivor.run(hold)
	survivor.run(patience)
	for _, key := range w.server.keys(tokens) {
		if wrong := w.wrong(w.server.token(key)); wrong != "" {
			w.violatedf("invariant 7: %s after all has been well, %s: %s", patience, key, wrong)
		}
	}
	w.check()
	w.quiet = true
	survivor.run(quietTime)
	w.check()
}

// expectFresh checks that no Secret holds an expired token although WorkOS would return a valid
// token. It is called only after a while without interference.
func (w *world) expectFresh() {
	for _, key := range w.server.keys(tokens) {
		token := w.server.token(key)
		connection := w.connections[harness.IDOf(token)]
		secret := w.server.secret(types.NamespacedName{Namespace: key.Namespace, Name: token.TargetSecretName()})
		early := connection.AlwaysFresh || connection.RefreshLead > 0
		ready := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ReadyCondition)
		if !early || token.Spec.Suspend || ready.Reason != v1alpha1.TokenSyncedReason && ready.Reason != v1alpha1.TokenExpiredReason {
			continue
		}
		for _, held := range tokensIn(secret) {
			if !w.validAt(held, w.clock.Now()) {
				w.violatedf("renewal: the token of %s has expired, and nothing has stood in the way of the next", key)
			}
		}
	}
}

// longestHold is the longest remaining time, at most an hour, for which a Retry-After forbids
// calls. A wrong Date of WorkOS can make a Retry-After longer than WorkOS asked for.
func (o *operator) longestHold() time.Duration {
	var longest time.Duration
	for _, until := range o.held {
		longest = max(longest, min(until.Sub(monotonic{o}.Now()), time.Hour))
	}
	return longest
}

// heal ends all faults. It keeps the changes that people have made, except those that prevent a
// Secret from ever being written.
func (w *world) heal() {
	w.workos.ClearFaults()
	w.server.admission = admits
	w.rotateKey()
	// Too small a budget is not a fault that ends by itself.
	w.perMinute, w.mostPerMinute = plenty, plenty
	for _, key := range []types.NamespacedName{defaultEnvironment, ownEnvironment} {
		if w.server.get(environments, key) == nil {
			w.createEnvironment(key, nil, plenty)
		}
		w.server.edit(environments, key, func(o client.Object) { o.(*v1alpha1.PipesEnvironment).Spec.RequestsPerMinute = plenty })
	}
	for _, key := range w.server.keys(secrets) {
		secret := w.server.secret(key)
		if secret.Immutable != nil {
			w.server.edit(secrets, key, func(o client.Object) { o.SetFinalizers(nil) })
			w.server.remove(secrets, key)
			continue
		}
		w.editSecret(key, "kubectl", func(s *secretEdit) { s.Finalizers = nil })
	}
	for _, o := range w.operators {
		o.skew = 0
		for len(o.frozen) > 0 {
			o.thaw(0)
		}
	}
	w.server.collectGarbage()
}

// run lets o work for a while without interference.
func (o *operator) run(d time.Duration) {
	w := o.world
	until := w.clock.Now().Add(d)
	for w.violation == "" {
		o.drain()
		o.expectTimers()
		if w.quiet {
			w.expectFresh()
		}
		next := until
		for _, queue := range o.queues {
			if at := queue.next(); !at.IsZero() {
				next = earliest(next, at.Add(o.suspended))
			}
		}
		if !next.After(w.clock.Now()) {
			if !w.clock.Now().Before(until) {
				return
			}
			next = w.clock.Now().Add(time.Millisecond)
		}
		w.clock.SetTime(next)
		if !next.Before(until) {
			o.drain()
			return
		}
	}
}

// expectTimers checks that every PipesToken has a timer, which comes within the ceiling.
func (o *operator) expectTimers() {
	queue := o.queues["pipestoken"]
	for key := range o.view.objects[tokens] {
		at, ok := queue.entries[reconcile.Request{NamespacedName: key}]
		if !ok || at.Sub(queue.monotonic()) > ceiling {
			o.world.violatedf("invariant 9: %s has been forgotten: it comes back at %s (known: %t)", key, at, ok)
		}
	}
	if err := o.watchdog.Check(nil); err != nil {
		o.world.violatedf("invariant 9: the liveness check says: %v", err)
	}
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// wrong describes what is wrong with a PipesToken or its Secret after all faults have ended;
// empty if nothing is wrong.
func (w *world) wrong(token *v1alpha1.PipesToken) string {
	ready := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ReadyCondition)
	secret := w.server.secret(types.NamespacedName{Namespace: token.Namespace, Name: token.TargetSecretName()})
	if token.Status.ObservedGeneration != token.Generation {
		return fmt.Sprintf("observedGeneration is %d of %d", token.Status.ObservedGeneration, token.Generation)
	}
	problems := []string{}
	for _, reason := range w.expected(token, secret) {
		problem := ""
		if ready.Reason != reason {
			problem = fmt.Sprintf("Ready says %s (%s), not %s", ready.Reason, ready.Message, reason)
		} else {
			problem = w.wrongSecret(token, secret, reason)
		}
		if problem == "" {
			return ""
		}
		problems = append(problems, problem)
	}
	return strings.Join(problems, "; or: ")
}

// expected returns the reasons of Ready that are correct.
func (w *world) expected(token *v1alpha1.PipesToken, secret *corev1.Secret) []string {
	environment := w.server.get(environments, environmentOf(token)).(*v1alpha1.PipesEnvironment)
	labels := w.server.get(namespaces, types.NamespacedName{Name: token.Namespace}).GetLabels()
	switch {
	case !grants(environment, token, labels):
		return []string{v1alpha1.NotGrantedReason}
	case token.Spec.Suspend && broken(token):
		return []string{v1alpha1.SuspendedReason, v1alpha1.SecretConflictReason, v1alpha1.InvalidTemplateReason}
	case token.Spec.Suspend && token.Spec.InactivePolicy == v1alpha1.InactivePolicyRetain:
		// The last answer of WorkOS stays in the status, beside a token that is retained: the
		// operator does not ask again.
		return []string{v1alpha1.SuspendedReason, v1alpha1.SecretConflictReason, v1alpha1.TokenSyncedReason,
			v1alpha1.NotInstalledReason, v1alpha1.NeedsReauthorizationReason, v1alpha1.InactiveReason}
	case token.Spec.Suspend:
		return []string{v1alpha1.SuspendedReason, v1alpha1.SecretConflictReason, v1alpha1.TokenSyncedReason}
	case broken(token) && foreign(token, secret):
		return []string{v1alpha1.InvalidTemplateReason, v1alpha1.SecretConflictReason}
	case broken(token):
		return []string{v1alpha1.InvalidTemplateReason}
	}
	connection, known := w.connections[harness.IDOf(token)]
	reasons := []string{v1alpha1.TokenSyncedReason}
	switch {
	case foreign(token, secret):
		// The conflict is found when the operator has a token to write.
		reasons = []string{v1alpha1.SecretConflictReason}
	case orphaned(token, secret) && typeOf(token) != secret.Type:
		reasons = []string{v1alpha1.SecretRejectedReason}
	}
	switch {
	case known && connection.State == workossim.Connected:
		return reasons
	case known && connection.State == workossim.NeedsReauthorization:
		return append(reasons, v1alpha1.NeedsReauthorizationReason)
	case known && connection.State == strangeState:
		return append(reasons, v1alpha1.InactiveReason)
	// WorkOS may not have been asked since then, because the token is still valid.
	default:
		return append(reasons, v1alpha1.NotInstalledReason)
	}
}

func broken(token *v1alpha1.PipesToken) bool {
	return token.Spec.SecretTemplate != nil && token.Spec.SecretTemplate.Data["config"] == "{{ .Nothing }}"
}

func typeOf(token *v1alpha1.PipesToken) corev1.SecretType {
	if kind := secretType(token); kind != "" {
		return corev1.SecretType(kind)
	}
	return corev1.SecretTypeOpaque
}

func foreign(token *v1alpha1.PipesToken, secret *corev1.Secret) bool {
	return secret != nil && !ours(token, secret) && !orphaned(token, secret)
}

func ours(token *v1alpha1.PipesToken, secret *corev1.Secret) bool {
	controller := metav1.GetControllerOf(secret)
	return controller != nil && controller.UID == token.UID
}

func orphaned(token *v1alpha1.PipesToken, secret *corev1.Secret) bool {
	return secret != nil && metav1.GetControllerOf(secret) == nil &&
		secret.Labels[v1alpha1.ManagedByLabel] == v1alpha1.ManagedByValue && secret.Labels[v1alpha1.TokenLabel] == token.Name
}

// wrongSecret describes what is wrong with the Secret, if Ready has that reason; empty if nothing
// is wrong.
func (w *world) wrongSecret(token *v1alpha1.PipesToken, secret *corev1.Secret, reason string) string {
	held := tokensIn(secret)
	switch reason {
	case v1alpha1.TokenSyncedReason:
		return w.wrongToken(token, secret)
	case v1alpha1.NotGrantedReason, v1alpha1.NotInstalledReason, v1alpha1.NeedsReauthorizationReason, v1alpha1.InactiveReason:
		if orphaned(token, secret) && w.keepsUntold(token, secret) {
			return "invariant 15: the orphaned Secret still holds a token, and the status does not say so"
		}
		if secret == nil || !ours(token, secret) {
			return ""
		}
		switch {
		case token.Spec.InactivePolicy == v1alpha1.InactivePolicyClear && len(held) > 0:
			return "the Secret still holds a token"
		case token.Spec.InactivePolicy == v1alpha1.InactivePolicyDelete:
			return "the Secret is still there"
		}
	}
	return ""
}

// keepsUntold reports whether a Secret holds a token that this PipesToken has written and should
// have withdrawn, and its status does not say that the token is there.
func (w *world) keepsUntold(token *v1alpha1.PipesToken, secret *corev1.Secret) bool {
	ready := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ReadyCondition)
	return token.Spec.InactivePolicy != v1alpha1.InactivePolicyRetain && w.lastWritten(token.UID, secret) != nil &&
		!strings.Contains(ready.Message, "still in the Secret")
}

// wrongToken describes what is wrong with a Secret that should hold a valid token.
func (w *world) wrongToken(token *v1alpha1.PipesToken, secret *corev1.Secret) string {
	if secret == nil || !ours(token, secret) {
		return "there is no Secret of its own"
	}
	held := tokensIn(secret)
	if len(held) != 1 {
		return fmt.Sprintf("the Secret holds tokens %v", held)
	}
	if !w.validAt(held[0], w.clock.Now()) {
		return "the token in the Secret has expired"
	}
	want := dataFor(token, held[0], w.issued[held[0]].expires)
	if failed := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.RenewalFailedCondition); token.Spec.Suspend ||
		failed != nil && failed.Reason == v1alpha1.InactiveReason {
		// The Secret stays as it was. In the second case it stays for an hour.
		return ""
	}
	for key, value := range want {
		if string(secret.Data[key]) != value {
			return fmt.Sprintf("the Secret has %s=%q, not %q", key, secret.Data[key], value)
		}
	}
	for key := range secret.Data {
		if _, wanted := want[key]; !wanted && key != "scopes" {
			return fmt.Sprintf("the Secret has a key %s", key)
		}
	}
	if secret.Labels[v1alpha1.ManagedByLabel] != v1alpha1.ManagedByValue {
		return "the Secret has lost our label"
	}
	return ""
}

// dataFor returns the data that the Secret should hold. It is written independently of
// internal/tokensecret, so that the two are compared.
func dataFor(token *v1alpha1.PipesToken, value string, expires time.Time) map[string]string {
	expiresAt := ""
	if !expires.IsZero() {
		expiresAt = expires.UTC().Truncate(time.Second).Format(time.RFC3339)
	}
	if token.Spec.SecretTemplate != nil && len(token.Spec.SecretTemplate.Data) > 0 {
		data := map[string]string{}
		for key, text := range token.Spec.SecretTemplate.Data {
			data[key] = strings.NewReplacer("{{ .AccessToken }}", value, "{{ .ExpiresAt }}", expiresAt, "{{ .UserID }}", token.Spec.UserID).Replace(string(text))
		}
		return data
	}
	data := map[string]string{"access_token": value}
	if expiresAt != "" {
		data["expires_at"] = expiresAt
	}
	return data
}

func sortedRequests[T any](m map[reconcile.Request]T) []reconcile.Request {
	requests := make([]reconcile.Request, 0, len(m))
	for request := range m {
		requests = append(requests, request)
	}
	slices.SortFunc(requests, func(a, b reconcile.Request) int { return strings.Compare(a.String(), b.String()) })
	return requests
}
