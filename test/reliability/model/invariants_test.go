//go:build reliability

package model_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// look notes the facts that the operator could know when the reconcile began.
func (p *pass) look(o *operator) {
	for _, kind := range []kind{tokens, environments} {
		o.view.deliverOwn(kind, o.wrote[kind])
	}
	token, _ := o.view.objects[tokens][p.request.NamespacedName].(*v1alpha1.PipesToken)
	if token == nil {
		return
	}
	p.uid, p.policy, p.id = token.UID, string(token.Spec.InactivePolicy), harness.IDOf(token)
	environment, _ := o.view.objects[environments][environmentOf(token)].(*v1alpha1.PipesEnvironment)
	var labels map[string]string
	// A stale cache may not contain the namespace.
	if namespace := o.view.objects[namespaces][types.NamespacedName{Name: token.Namespace}]; namespace != nil {
		labels = namespace.GetLabels()
	}
	p.granted = environment == nil || grants(environment, token, labels)
}

// lookAfterCall notes the facts that the operator could know when the answer of WorkOS arrived.
func (p *pass) lookAfterCall(o *operator) {
	p.judged = o.lookAtClock()
	uid := p.uid
	token, _ := o.view.objects[tokens][p.request.NamespacedName].(*v1alpha1.PipesToken)
	if token == nil || token.UID != uid {
		p.barred = "the object is gone"
		return
	}
	p.look(o)
	environment := o.view.objects[environments][environmentOf(token)]
	switch {
	case environment == nil:
		p.barred = "there is no PipesEnvironment"
	case !p.granted:
		p.barred = "the grant is gone"
	case token.Spec.Suspend:
		p.barred = "the object is suspended"
	}
}

func environmentOf(token *v1alpha1.PipesToken) types.NamespacedName {
	if ref := token.Spec.EnvironmentRef; ref != nil {
		return types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
	}
	return defaultEnvironment
}

// grants reports whether an environment lets token use it. It is written independently of
// internal/grants, so that the two are compared.
func grants(environment *v1alpha1.PipesEnvironment, token *v1alpha1.PipesToken, labels map[string]string) bool {
	if environment.Namespace == token.Namespace {
		return true
	}
	for _, grant := range environment.Spec.Grants {
		fits := slices.Contains(grant.Namespaces.Names, token.Namespace) || slices.Contains(grant.Namespaces.Names, "*")
		if selector := grant.Namespaces.Selector; selector != nil && !fits {
			fits = true
			for key, value := range selector.MatchLabels {
				fits = fits && labels[key] == value
			}
		}
		organization := token.Spec.OrganizationID
		if organization == "" {
			organization = "none"
		}
		for _, part := range []struct {
			list  []string
			from  *v1alpha1.NamespaceLabelSource
			value string
		}{
			{grant.Slugs, nil, token.Spec.Slug},
			{grant.UserIDs, grant.UserIDsFrom, token.Spec.UserID},
			{grant.OrganizationIDs, grant.OrganizationIDsFrom, organization},
		} {
			list := part.list
			if part.from != nil {
				list = valuesOf(labels, part.from.NamespaceLabel)
			}
			fits = fits && (slices.Equal(list, []string{"*"}) || slices.Contains(list, part.value))
		}
		if fits && slices.Contains(ownersOrDefault(grant), cmp.Or(token.Spec.ConnectionOwner, v1alpha1.ConnectionOwnerUser)) {
			return true
		}
	}
	return false
}

// valuesOf returns the value of a label as a list. The list is empty if there is no such label, or
// if its value is empty, "none" or "*": these are no IDs.
func valuesOf(labels map[string]string, key string) []string {
	if value := labels[key]; value != "" && value != "none" && value != "*" {
		return []string{value}
	}
	return nil
}

// ownersOrDefault returns the owners of a grant, with the default of the CRD.
func ownersOrDefault(grant v1alpha1.Grant) []v1alpha1.ConnectionOwner {
	if len(grant.ConnectionOwners) == 0 {
		return []v1alpha1.ConnectionOwner{v1alpha1.ConnectionOwnerUser}
	}
	return grant.ConnectionOwners
}

// checkWrite checks how a write of the operator has changed a Secret. before and after may be
// nil.
func (w *world) checkWrite(o *operator, key types.NamespacedName, before, after *corev1.Secret) {
	p := o.pass
	token := w.ownerOf(p, key, before, after)
	if token == nil {
		w.violatedf("invariant 5: a pass over %s has written Secret %s, which is not its own: %v", p.request, key, ownersOf(before))
		return
	}
	w.checkForeignMetadata(key, before, after)
	held, holds := tokensIn(before), tokensIn(after)
	if after != nil {
		w.expectNoCanary("the metadata of a Secret", metadataText(after))
	}
	switch {
	case len(holds) > 1:
		w.violatedf("invariant 1: Secret %s holds several tokens: %v", key, holds)
	case len(holds) == 1:
		w.checkToken(o, token, before, after, holds[0])
	case len(held) > 0:
		w.checkRemoval(o, token, before, held[0])
	}
}

// ownerOf returns the PipesToken of the reconcile, in its latest version, if the Secret belongs
// to this PipesToken: the PipesToken controls the Secret, or the Secret is new, or it is orphaned
// and has the labels of this PipesToken. Otherwise it returns nil.
func (w *world) ownerOf(p *pass, key types.NamespacedName, before, after *corev1.Secret) *v1alpha1.PipesToken {
	orphaned := false
	if before != nil {
		controller := metav1.GetControllerOf(before)
		orphaned = controller == nil && before.Labels[v1alpha1.ManagedByLabel] == v1alpha1.ManagedByValue &&
			before.Labels[v1alpha1.TokenLabel] == p.request.Name
		if !orphaned && (controller == nil || controller.UID != p.uid) {
			return nil
		}
		if orphaned && after == nil {
			return nil
		}
	}
	if after != nil {
		// A token whose grant is withdrawn is also removed from an orphaned Secret.
		cleared := orphaned && len(tokensIn(after)) == 0
		if controller := metav1.GetControllerOf(after); !cleared && (controller == nil || controller.UID != p.uid) {
			return nil
		}
	}
	for i := len(w.server.history) - 1; i >= 0; i-- {
		change := w.server.history[i]
		if change.kind != tokens || change.key != p.request.NamespacedName || change.after == nil || change.after.GetUID() != p.uid {
			continue
		}
		token := change.after.(*v1alpha1.PipesToken)
		if key.Namespace == token.Namespace && key.Name == token.TargetSecretName() {
			return token
		}
		return nil
	}
	return nil
}

func ownersOf(secret *corev1.Secret) any {
	if secret == nil {
		return nil
	}
	return secret.OwnerReferences
}

// checkForeignMetadata checks that the operator keeps everything that a stranger has added to a
// Secret.
func (w *world) checkForeignMetadata(key types.NamespacedName, before, after *corev1.Secret) {
	if before == nil || after == nil {
		return
	}
	for name, value := range before.Labels {
		if strings.HasPrefix(name, "stranger") && after.Labels[name] != value {
			w.violatedf("invariant 5: label %s of Secret %s is gone", name, key)
		}
	}
	for name, value := range before.Annotations {
		if strings.HasPrefix(name, "stranger") && after.Annotations[name] != value {
			w.violatedf("invariant 5: annotation %s of Secret %s is gone", name, key)
		}
	}
	for _, owner := range before.OwnerReferences {
		if !slices.ContainsFunc(after.OwnerReferences, func(o metav1.OwnerReference) bool { return equality.Semantic.DeepEqual(o, owner) }) {
			w.violatedf("invariant 5: an owner of Secret %s is gone", key)
		}
	}
	if !slices.Equal(before.Finalizers, after.Finalizers) || before.Type != after.Type {
		w.violatedf("invariant 5: finalizers or type of Secret %s have changed", key)
	}
}

// checkToken checks the token that was written: WorkOS has issued it for exactly this object, it
// has not expired, and it does not replace a later token.
func (w *world) checkToken(o *operator, token *v1alpha1.PipesToken, before, after *corev1.Secret, value string) {
	key := client.ObjectKeyFromObject(after)
	fact, known := w.issued[value]
	expires := after.Annotations[tokensecret.ExpiresAtAnnotation]
	switch {
	case !known || fact.id != harness.IDOf(token):
		w.violatedf("invariant 1: Secret %s holds a token of %v, and its object asks for %v", key, fact.id, harness.IDOf(token))
		return
	case !slices.ContainsFunc(fact.told, func(told time.Time) bool { return expires == expiryText(told) }):
		w.violatedf("invariant 1: Secret %s says that its token expires %s, and WorkOS says %v", key, expires, fact.told)
	}
	if before != nil && maps.EqualFunc(before.Data, after.Data, slices.Equal) && factsText(before) == factsText(after) {
		return // only labels or annotations of others have changed
	}
	until, err := time.Parse(time.RFC3339, expires)
	if expires != never && (err != nil || !until.After(o.pass.lastLook())) {
		w.violatedf("invariant 11: Secret %s has been given an expired token", key)
	}
	if o.pass.barred != "" {
		w.violatedf("invariant 11: Secret %s has been given a token, although %s since the call", key, o.pass.barred)
	}
	if last := w.lastWritten(token.UID, before); last != nil && last.basis > o.pass.asked && o.pass.asked > 0 {
		w.violatedf("invariant 2: Secret %s held what call %d brought, and has been given what call %d had brought before", key, last.basis, o.pass.asked)
	}
	w.writes[token.UID] = append(w.writes[token.UID], written{
		secret: key, token: value, expires: inSeconds(until), obtained: after.Annotations[tokensecret.ObtainedAtAnnotation], basis: o.pass.asked,
	})
}

// never is the value of the expiry annotation of a Secret whose token has no expiry.
const never = "never"

// expiryText is the format of the expiry annotation of a Secret.
func expiryText(t time.Time) string {
	if t.IsZero() {
		return never
	}
	return t.UTC().Format("2006-01-02T15:04:05.999Z07:00")
}

// inSeconds is the format of times in a status, and of the obtained-at annotation of a Secret.
func inSeconds(t time.Time) string {
	if t.IsZero() {
		return never
	}
	return t.UTC().Truncate(time.Second).Format(time.RFC3339)
}

// lastWritten is the operator's latest write of the token that is in the Secret; nil if the
// Secret holds no token or several, or a token that the operator did not write.
func (w *world) lastWritten(uid types.UID, secret *corev1.Secret) *written {
	held := tokensIn(secret)
	if len(held) != 1 {
		return nil
	}
	for i := len(w.writes[uid]) - 1; i >= 0; i-- {
		last := &w.writes[uid][i]
		if last.secret == client.ObjectKeyFromObject(secret) && last.token == held[0] {
			return last
		}
	}
	return nil
}

// checkRemoval checks that a valid token is removed only because WorkOS says that the connection
// is not active, or because no grant is left.
func (w *world) checkRemoval(o *operator, token *v1alpha1.PipesToken, before *corev1.Secret, value string) {
	p := o.pass
	last := w.lastWritten(token.UID, before)
	if last == nil || !w.validAt(value, w.clock.Now()) {
		return
	}
	if _, intact := before.Annotations[tokensecret.TokenHashAnnotation]; !intact || before.Type != typeOf(token) {
		// Admission has stripped the annotation by which the operator knows its token. And the type
		// of a Secret cannot be changed: if a stranger has chosen another type, the operator must
		// delete the Secret and create it again.
		return
	}
	if p.policy == string(v1alpha1.InactivePolicyRetain) {
		w.violatedf("invariant 3: the token of %s is gone, although its inactivePolicy was Retain", p.request)
	}
	if !p.granted {
		return
	}
	for _, call := range w.calls {
		if call.ID == harness.IDOf(token) && call.inactive && call.number > last.basis {
			return
		}
	}
	w.violatedf("invariant 3: the token of %s, which call %d had brought, is gone for no reason", p.request, last.basis)
}

func (w *world) validAt(token string, at time.Time) bool {
	fact, known := w.issued[token]
	return known && (fact.expires.IsZero() || fact.expires.After(at))
}

// checkStatus checks that the conditions of a status do not contradict each other, and that a
// status with Ready=True claims only a token that was written.
func (w *world) checkStatus(o *operator, object client.Object) {
	token, ok := object.(*v1alpha1.PipesToken)
	if !ok {
		return
	}
	status := token.Status
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ReadyCondition)
	isTrue := func(condition string) bool { return meta.IsStatusConditionTrue(status.Conditions, condition) }
	switch {
	case ready == nil:
		w.violatedf("the status of %s has no Ready condition", o.pass.request)
		return
	case isTrue(v1alpha1.StalledCondition) && isTrue(v1alpha1.ReconcilingCondition):
		w.violatedf("the status of %s is stalled and reconciling at once", o.pass.request)
	case status.ObservedGeneration > token.Generation:
		w.violatedf("the status of %s is of a generation to come", o.pass.request)
	case ready.Status != metav1.ConditionTrue && isTrue(v1alpha1.RenewalFailedCondition):
		w.violatedf("the status of %s has RenewalFailed beside a Ready that is not True", o.pass.request)
	case ready.Status == metav1.ConditionTrue && (isTrue(v1alpha1.StalledCondition) || isTrue(v1alpha1.ReconcilingCondition)):
		w.violatedf("the status of %s is ready, and stalled or reconciling", o.pass.request)
	}
	if ready.Status == metav1.ConditionTrue {
		w.checkClaim(o, token)
	}
}

// checkClaim checks that the token that Ready=True stands for was written, and has not expired.
func (w *world) checkClaim(o *operator, token *v1alpha1.PipesToken) {
	status := token.Status
	expires := never
	if status.ExpirationTime != nil {
		expires = inSeconds(status.ExpirationTime.Time)
		// The status stores the time in whole seconds.
		if !status.ExpirationTime.Add(time.Second).After(o.pass.lastLook()) {
			w.violatedf("invariant 4: the status of %s is ready, and its token had expired", o.pass.request)
		}
	}
	obtained := ""
	if status.LastRefreshTime != nil {
		obtained = inSeconds(status.LastRefreshTime.Time)
	}
	for _, write := range w.writes[token.UID] {
		if write.expires == expires && write.obtained == obtained {
			return
		}
	}
	w.violatedf("invariant 4: the status of %s claims a token (obtained %s, expires %s) that has not been written", o.pass.request, obtained, expires)
}

// checkDeparture checks a call before it is sent: no minute has more calls with one API key than
// requestsPerMinute allows, no call is sent before the Retry-After of WorkOS is over, and the
// reconcile asks for the connection of its own object, with a grant.
func (w *world) checkDeparture(o *operator, key string) {
	now := monotonic{o}.Now()
	sent := append(o.sent[key], now)
	o.sent[key] = sent
	if limit := int(w.mostPerMinute); len(sent) > limit && now.Sub(sent[len(sent)-1-limit]) <= time.Minute {
		w.violatedf("invariant 10: %d calls within %s", limit+1, now.Sub(sent[len(sent)-1-limit]))
	}
	if now.Before(o.held[key]) {
		w.violatedf("invariant 10: a call %s before WorkOS's Retry-After is over", o.held[key].Sub(now))
	}
	if o.pass.asking != o.pass.id {
		w.violatedf("invariant 1: a pass over %s asks for %v, not for %v", o.pass.request, o.pass.asking, o.pass.id)
	}
	if !o.pass.granted {
		w.violatedf("a pass over %s calls WorkOS, and nobody has granted that", o.pass.request)
	}
}

// factsText joins the annotations that describe the token of a Secret.
func factsText(secret *corev1.Secret) string {
	var text strings.Builder
	for _, key := range []string{
		tokensecret.ExpiresAtAnnotation, tokensecret.ObtainedAtAnnotation, tokensecret.TemplateHashAnnotation,
		tokensecret.TokenHashAnnotation, tokensecret.ScopesAnnotation, tokensecret.MissingScopesAnnotation,
		tokensecret.UpstreamLeadAnnotation,
	} {
		text.WriteString(secret.Annotations[key] + "\n")
	}
	return text.String()
}

func metadataText(secret *corev1.Secret) string {
	var text strings.Builder
	for _, values := range []map[string]string{secret.Labels, secret.Annotations} {
		for key, value := range values {
			if !strings.HasPrefix(key, "stranger") {
				text.WriteString(key + value + "\n")
			}
		}
	}
	return text.String()
}
