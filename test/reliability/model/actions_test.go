//go:build reliability

package model_test

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// actions returns everything that can happen in a sequence. The weight of an action is the number
// of times that it is in the map: frequent events have a higher weight.
func (w *world) actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){"": func(*rapid.T) { w.steps++; w.buryTheDead(); w.check() }}
	for _, action := range []struct {
		name   string
		weight int
		do     func(*rapid.T)
	}{
		{"create token", 2, w.createToken},
		{"edit token", 2, w.editToken},
		{"delete token", 1, w.deleteToken},
		{"status is forged", 1, w.forgeStatus},
		{"edit environment", 1, w.editEnvironment},
		{"label namespace", 1, w.labelNamespace},
		{"stranger", 2, func(t *rapid.T) { w.drawIntrusion(t)() }},
		{"connect", 3, w.connect},
		{"event", 2, w.event},
		{"WorkOS fails", 2, w.failUpstream},
		{"WorkOS is well again", 1, func(*rapid.T) { w.workos.ClearFaults() }},
		{"API key", 1, w.changeKey},
		{"admission", 1, w.changeAdmission},
		{"time passes", 4, w.advance},
		{"clock is set", 1, w.setClock},
		{"node stands still", 1, w.suspend},
		{"watch", 2, w.watch},
		{"pass", 12, w.passWithPlan},
		{"work", 2, w.workOff},
		{"thaw", 2, w.thawOne},
		{"replica", 1, w.replica},
		{"garbage collection", 1, func(*rapid.T) { w.server.collectGarbage() }},
	} {
		for n := range action.weight {
			actions[fmt.Sprintf("%s %d", action.name, n)] = action.do
		}
	}
	return actions
}

// changeAdmission sets how admission treats writes of Secrets: it admits them, is down, refuses
// them, or strips an annotation.
func (w *world) changeAdmission(t *rapid.T) {
	w.server.admission = draw(t, "admission", admits, admits, down, refuses, strips)
	w.logf("administrator: admission %s", w.server.admission)
}

func draw[T any](t *rapid.T, label string, from ...T) T {
	return from[rapid.IntRange(0, len(from)-1).Draw(t, label)]
}

func (w *world) drawOperator(t *rapid.T) *operator {
	return w.operators[rapid.IntRange(0, len(w.operators)-1).Draw(t, "operator")]
}

func (w *world) drawTokenKey(t *rapid.T) types.NamespacedName {
	return types.NamespacedName{Namespace: draw(t, "namespace", tenants...), Name: draw(t, "name", tokenNames...)}
}

// templates are the secretTemplates of PipesTokens: none, literal metadata, other data keys, a
// template that cannot be used, and another Secret type. editToken uses the first five only,
// because the Secret type of a PipesToken cannot change.
var templates = []*v1alpha1.SecretTemplate{
	nil,
	{Labels: map[string]v1alpha1.LabelValue{"team": "a"}, Annotations: map[string]v1alpha1.AnnotationValue{"note": "one"}},
	{Data: map[string]v1alpha1.DataTemplate{"config": "token={{ .AccessToken }} until {{ .ExpiresAt }}"}},
	{Data: map[string]v1alpha1.DataTemplate{"config": "token={{ .AccessToken }} for {{ .UserID }}", "plain": "none"}},
	{Data: map[string]v1alpha1.DataTemplate{"config": "{{ .Nothing }}"}},
	{Type: "kubernetes.io/basic-auth", Data: map[string]v1alpha1.DataTemplate{"username": "x", "password": "{{ .AccessToken }}"}},
}

// createToken creates a PipesToken. If a PipesToken of that name exists, it is deleted first.
func (w *world) createToken(t *rapid.T) {
	key := w.drawTokenKey(t)
	token := &v1alpha1.PipesToken{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Spec: v1alpha1.PipesTokenSpec{
			Slug: draw(t, "slug", "github", "slack"), UserID: draw(t, "user", "u1", "u2"), OrganizationID: draw(t, "organization", "", "org1"),
			SecretName: draw(t, "secret", "", "", "shared"), SecretTemplate: templates[rapid.IntRange(0, len(templates)-1).Draw(t, "template")],
			InactivePolicy:  draw(t, "policy", v1alpha1.InactivePolicyClear, v1alpha1.InactivePolicyClear, v1alpha1.InactivePolicyDelete, v1alpha1.InactivePolicyRetain),
			RefreshInterval: &metav1.Duration{Duration: time.Hour}, ConnectionOwner: v1alpha1.ConnectionOwnerUser,
		},
		// The CRD sets this default.
		Status: v1alpha1.PipesTokenStatus{Conditions: []metav1.Condition{{
			Type: v1alpha1.ReadyCondition, Status: metav1.ConditionUnknown, Reason: v1alpha1.PendingReason, Message: "Waiting for the operator",
		}}},
	}
	if token.Spec.OrganizationID != "" {
		token.Spec.ConnectionOwner = draw(t, "owner", v1alpha1.ConnectionOwnerUser, v1alpha1.ConnectionOwnerUser, v1alpha1.ConnectionOwnerOrganization)
	}
	if key.Namespace == ownEnvironment.Namespace && rapid.Bool().Draw(t, "own environment") {
		token.Spec.EnvironmentRef = &v1alpha1.EnvironmentReference{Namespace: ownEnvironment.Namespace, Name: ownEnvironment.Name}
	}
	w.server.remove(tokens, key)
	w.server.put(tokens, token)
	w.logf("user: creates %s for %v, Secret %q, template %v, %s", key, harness.IDOf(token), token.TargetSecretName(), token.Spec.SecretTemplate, token.Spec.InactivePolicy)
	if draw(t, "connected", true, true, true, false) {
		w.putConnection(t, harness.IDOf(token))
	}
}

func (w *world) drawToken(t *rapid.T) types.NamespacedName {
	keys := w.server.keys(tokens)
	if len(keys) == 0 {
		t.Skip("there is no PipesToken")
	}
	return keys[rapid.IntRange(0, len(keys)-1).Draw(t, "token")]
}

// editToken changes one field of the PipesToken that the CRD allows to change.
func (w *world) editToken(t *rapid.T) {
	key := w.drawToken(t)
	field := draw(t, "field", "suspend", "policy", "renewBefore", "refreshInterval", "template", "refresh", "label")
	template := templates[rapid.IntRange(0, 4).Draw(t, "template")]
	number := rapid.IntRange(0, 3).Draw(t, "number")
	w.logf("user: edits %s of %s (%d)", field, key, number)
	w.server.edit(tokens, key, func(object client.Object) {
		token := object.(*v1alpha1.PipesToken)
		switch field {
		case "suspend":
			token.Spec.Suspend = !token.Spec.Suspend
		case "policy":
			token.Spec.InactivePolicy = []v1alpha1.InactivePolicy{v1alpha1.InactivePolicyClear, v1alpha1.InactivePolicyClear, v1alpha1.InactivePolicyDelete, v1alpha1.InactivePolicyRetain}[number]
		case "renewBefore":
			token.Spec.RenewBefore = []*metav1.Duration{nil, {Duration: 30 * time.Second}, {Duration: 10 * time.Minute}, {Duration: 24 * time.Hour}}[number]
		case "refreshInterval":
			token.Spec.RefreshInterval = &metav1.Duration{Duration: []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour}[number]}
		case "template":
			if secretType(token) == "" {
				token.Spec.SecretTemplate = template
			}
		case "refresh":
			token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: itoa(number)}
		case "label":
			token.Labels = map[string]string{"release": itoa(number)}
		}
	})
}

func secretType(token *v1alpha1.PipesToken) string {
	if token.Spec.SecretTemplate == nil {
		return ""
	}
	return string(token.Spec.SecretTemplate.Type)
}

// forgeStatus writes a status that is not true, as somebody with the right to write statuses can.
// The status says that the user has disconnected, that the Secret is in conflict or the grant is
// missing, or that the token is synced.
func (w *world) forgeStatus(t *rapid.T) {
	key := w.drawToken(t)
	ready := metav1.Condition{Type: v1alpha1.ReadyCondition, LastTransitionTime: metav1.NewTime(w.clock.Now().Add(draw(t, "transition", -time.Hour, 0, time.Hour)).Truncate(time.Second))}
	ready.Status, ready.Reason = metav1.ConditionFalse, draw(t, "reason", v1alpha1.NotInstalledReason, v1alpha1.NotGrantedReason, v1alpha1.SecretConflictReason, v1alpha1.TokenSyncedReason)
	if ready.Reason == v1alpha1.TokenSyncedReason {
		ready.Status = metav1.ConditionTrue
	}
	w.takesTheCeiling = true
	w.logf("administrator: forges the status of %s: %s", key, ready.Reason)
	w.server.edit(tokens, key, func(object client.Object) {
		token := object.(*v1alpha1.PipesToken)
		token.Status.Conditions = []metav1.Condition{ready}
	})
}

// deleteToken deletes a PipesToken. With orphan, it also removes the owner references from the
// Secret, as kubectl delete --cascade=orphan does.
func (w *world) deleteToken(t *rapid.T) {
	key := w.drawToken(t)
	orphan := rapid.Bool().Draw(t, "orphan")
	w.logf("user: deletes %s, orphan %t", key, orphan)
	uid := w.server.token(key).UID
	w.server.remove(tokens, key)
	if !orphan {
		return
	}
	for _, secret := range w.server.keys(secrets) {
		w.editSecret(secret, "garbage-collector", func(meta *secretEdit) {
			meta.OwnerReferences = slices.DeleteFunc(meta.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == uid })
		})
	}
}

var anything = []string{v1alpha1.Any}

// editEnvironment changes grants or the budget of an environment, or deletes the environment, or
// creates it again.
func (w *world) editEnvironment(t *rapid.T) {
	key := draw(t, "environment", defaultEnvironment, defaultEnvironment, ownEnvironment)
	names := v1alpha1.GrantNamespaces{Names: tenants}
	grants := draw(t, "grants",
		[]v1alpha1.Grant{harness.Anything(names)},
		[]v1alpha1.Grant{harness.Anything(names)},
		nil,
		[]v1alpha1.Grant{{
			Namespaces: v1alpha1.GrantNamespaces{Names: []string{"tenant-a"}}, Slugs: []string{"github"}, OrganizationIDs: anything, UserIDs: anything,
		}},
		[]v1alpha1.Grant{
			{Namespaces: names, Slugs: anything, OrganizationIDs: []string{"org1"}, UserIDs: anything},
			{Namespaces: names, Slugs: anything, OrganizationIDs: []string{v1alpha1.NoOrganization}, UserIDs: []string{"u2"}},
		},
		// Stored without userIDs, so this grant denies.
		[]v1alpha1.Grant{{Namespaces: names, Slugs: anything, OrganizationIDs: anything}},
		[]v1alpha1.Grant{harness.Anything(v1alpha1.GrantNamespaces{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}})},
		[]v1alpha1.Grant{{Namespaces: names, Slugs: anything, OrganizationIDs: anything, UserIDsFrom: fromLabel("user"), ConnectionOwners: bothOwners}},
		[]v1alpha1.Grant{{Namespaces: names, Slugs: anything, OrganizationIDsFrom: fromLabel("organization"), UserIDsFrom: fromLabel("user")}},
		[]v1alpha1.Grant{{Namespaces: names, Slugs: anything, OrganizationIDs: anything, UserIDs: anything, ConnectionOwners: bothOwners}},
		[]v1alpha1.Grant{{Namespaces: names, Slugs: anything, OrganizationIDs: anything, UserIDs: anything, ConnectionOwners: bothOwners[1:]}},
	)
	what := draw(t, "what", "grants", "grants", "grants", "delete", "budget")
	w.logf("administrator: %s of %s: %v", what, key, grants)
	if w.server.get(environments, key) == nil {
		w.createEnvironment(key, grants, w.perMinute)
		return
	}
	switch what {
	case "delete":
		w.server.remove(environments, key)
	case "budget":
		w.perMinute = w.mostPerMinute - int32(rapid.IntRange(0, 3).Draw(t, "less"))
		fallthrough
	default:
		w.server.edit(environments, key, func(object client.Object) {
			environment := object.(*v1alpha1.PipesEnvironment)
			environment.Spec.Grants, environment.Spec.RequestsPerMinute = grants, w.perMinute
		})
	}
}

var bothOwners = []v1alpha1.ConnectionOwner{v1alpha1.ConnectionOwnerUser, v1alpha1.ConnectionOwnerOrganization}

func fromLabel(key string) *v1alpha1.NamespaceLabelSource {
	return &v1alpha1.NamespaceLabelSource{NamespaceLabel: key}
}

// labelNamespace replaces the labels of a namespace. It may have no user and no organization.
func (w *world) labelNamespace(t *rapid.T) {
	name := types.NamespacedName{Name: draw(t, "namespace", tenants...)}
	labels := map[string]string{"team": draw(t, "team", "a", "b")}
	if user := draw(t, "user", "u1", "u2", "none", ""); user != "none" {
		labels["user"] = user
	}
	if organization := draw(t, "organization", "org1", "org2", ""); organization != "" {
		labels["organization"] = organization
	}
	w.logf("administrator: namespace %s has the labels %v", name.Name, labels)
	w.server.edit(namespaces, name, func(object client.Object) { object.SetLabels(labels) })
}

func (w *world) putConnection(t *rapid.T, id workossim.ID) {
	connection := workossim.Connection{
		ID: id, State: workossim.Connected, Scopes: []string{"repo"},
		Lifetime: draw(t, "lifetime", 30*time.Second, 2*time.Minute, 10*time.Minute, time.Hour), NoExpiry: draw(t, "no expiry", false, false, false, true),
		RefreshLead: draw(t, "lead", 0, time.Minute), AlwaysFresh: draw(t, "always fresh", false, false, true),
	}
	w.logf("WorkOS: %v is connected, for %s, no expiry %t", id, connection.Lifetime, connection.NoExpiry)
	w.workos.Put(connection)
	w.connections[id] = connection
}

// connect makes a user connect, disconnect or lose a connection, or makes a token expire.
func (w *world) connect(t *rapid.T) {
	id := workossim.ID{Slug: draw(t, "slug", "github", "slack"), UserID: draw(t, "user", "u1", "u2"), OrganizationID: draw(t, "organization", "", "org1")}
	if keys := w.server.keys(tokens); len(keys) > 0 {
		id = harness.IDOf(w.server.token(keys[rapid.IntRange(0, len(keys)-1).Draw(t, "token")]))
	}
	what := draw(t, "what", "connect", "connect", "expire", "remove", string(workossim.NotInstalled), string(workossim.NeedsReauthorization), strangeState)
	switch what {
	case "connect":
		w.putConnection(t, id)
		return
	case "expire":
		w.workos.Expire(id)
	case "remove":
		w.workos.Remove(id)
		delete(w.connections, id)
	default:
		w.workos.SetState(id, workossim.State(what))
		w.connections[id] = workossim.Connection{ID: id, State: workossim.State(what)}
	}
	w.logf("WorkOS: %v: %s", id, what)
}

// failUpstream injects one fault of WorkOS, of any kind except latency: frozen reconciles stand
// for latency.
func (w *world) failUpstream(t *rapid.T) {
	kinds := slices.DeleteFunc(workossim.FaultKinds(), func(k workossim.FaultKind) bool { return k == workossim.FaultLatency })
	fault := workossim.Fault{Kind: draw(t, "kind", kinds...), Times: draw(t, "times", 1, 2, 3, 0)}
	if keys := w.server.keys(tokens); len(keys) > 0 && rapid.Bool().Draw(t, "one connection") {
		fault.Match = ptr.To(harness.IDOf(w.server.token(keys[rapid.IntRange(0, len(keys)-1).Draw(t, "token")])))
	}
	switch fault.Kind {
	case workossim.FaultStatus:
		fault.Status = draw(t, "status", 400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504, 302, 204)
	case workossim.FaultDateOffset:
		fault.DateOffset = draw(t, "offset", -48*time.Hour, -time.Hour, time.Hour)
		w.datesWereWrong = true
	case workossim.FaultRateLimited:
		switch draw(t, "retry after", "none", "seconds", "date") {
		case "seconds":
			fault.RetryAfter = itoa(draw(t, "seconds", 1, 30, 300))
		case "date":
			fault.RetryAfterDate = draw(t, "date", time.Second, 2*time.Minute)
		}
	}
	w.logf("WorkOS: fails with %s %d, %d times, for %v", fault.Kind, fault.Status, fault.Times, fault.Match)
	w.workos.Inject(fault)
}

// changeKey rotates the API key at WorkOS and in the cluster, or revokes it at WorkOS only, or
// deletes it from the cluster.
func (w *world) changeKey(t *rapid.T) {
	what := draw(t, "what", "rotate", "revoke", "delete")
	w.logf("administrator: API key: %s", what)
	switch what {
	case "rotate":
		w.rotateKey()
	case "revoke":
		w.workos.SetAPIKeys("another")
	case "delete":
		w.server.remove(secrets, types.NamespacedName{Namespace: defaultEnvironment.Namespace, Name: apiKeySecret})
	}
}

func (w *world) advance(t *rapid.T) {
	d := draw(t, "for", time.Second, 10*time.Second, time.Minute, 5*time.Minute, 31*time.Minute, 2*time.Hour, 48*time.Hour)
	w.clock.SetTime(w.clock.Now().Add(d))
	w.logf("%s pass", d)
}

// setClock sets the clock of one node to a wrong time, or to the right time.
func (w *world) setClock(t *rapid.T) {
	o := w.drawOperator(t)
	o.skew = draw(t, "by", 0, 0, time.Minute, -time.Minute, 3*time.Hour, -3*time.Hour, 72*time.Hour, -72*time.Hour)
	w.takesTheCeiling = w.takesTheCeiling || o.skew != 0
	w.logf("%d: clock is off by %s", o.id, o.skew)
}

// suspend makes one node stand still while time passes: its timers do not run.
func (w *world) suspend(t *rapid.T) {
	o := w.drawOperator(t)
	d := draw(t, "for", 20*time.Second, 10*time.Minute, 5*time.Hour)
	o.suspended += d
	w.takesTheCeiling = true
	w.clock.SetTime(w.clock.Now().Add(d))
	w.logf("%d: stands still for %s", o.id, d)
}

// watch lets one watch of one operator deliver some changes, or makes it list everything again.
func (w *world) watch(t *rapid.T) {
	o := w.drawOperator(t)
	kind := draw(t, "kind", kinds...)
	count := rapid.IntRange(0, 3).Draw(t, "count")
	if count == 0 {
		w.logf("%d: lists %s again", o.id, kind)
		o.view.relist(kind)
		return
	}
	o.view.deliver(kind, count)
}

// chance is one reconcile that could start now.
type chance struct {
	controller string
	request    reconcile.Request
}

// chances returns all reconciles that o could start now.
func (o *operator) chances() []chance {
	o.view.deliverOwn(tokens, o.wrote[tokens])
	var found []chance
	for _, name := range controllerNames {
		queue := o.queues[name]
		for _, key := range sortedRequests(queue.entries) {
			if queue.ready(key) && !o.wouldShareCall(key) {
				found = append(found, chance{name, key})
			}
		}
	}
	return found
}

// wouldShareCall reports whether a reconcile of request could block on the same thing as a frozen
// reconcile: the answer of WorkOS for the same connection, or a read of an API key. Then the
// model would block too.
func (o *operator) wouldShareCall(request reconcile.Request) bool {
	if len(o.frozen) == 0 {
		return false
	}
	token, _ := o.view.objects[tokens][request.NamespacedName].(*v1alpha1.PipesToken)
	return token != nil && slices.ContainsFunc(o.frozen, func(p *pass) bool { return p.reading || p.asking == harness.IDOf(token) })
}

// passWithPlan starts one reconcile. An effect may happen to one of its requests.
func (w *world) passWithPlan(t *rapid.T) {
	o := w.drawOperator(t)
	chances := o.chances()
	if len(chances) == 0 {
		o.view.catchUp()
		if chances = o.chances(); len(chances) == 0 {
			return
		}
	}
	chosen := chances[rapid.IntRange(0, len(chances)-1).Draw(t, "pass")]
	planned := plan{at: draw(t, "request", 0, 1, 0, 1, 2, 3), effect: draw(t, "effect",
		nothing, refused, throttled, lost, crashBefore, crashAfter, freezeBefore, freezeAfter, intruded, intruded)}
	switch planned.effect {
	case intruded:
		planned.intrude = w.drawIntrusionOn(t, w.secretOf(chosen.request))
	case freezeBefore, freezeAfter:
		if len(o.frozen) == maxFrozen {
			planned.effect = nothing
		}
	}
	o.turn(chosen.controller, chosen.request, planned)
}

// secretOf is the name of the Secret that a PipesToken writes.
func (w *world) secretOf(request reconcile.Request) types.NamespacedName {
	if token := w.server.token(request.NamespacedName); token != nil {
		return types.NamespacedName{Namespace: token.Namespace, Name: token.TargetSecretName()}
	}
	return request.NamespacedName
}

// workOff lets one operator see all changes and run all reconciles that are ready.
func (w *world) workOff(t *rapid.T) {
	o := w.drawOperator(t)
	o.drain()
}

func (o *operator) drain() {
	for o.view.catchUp(); o.world.violation == ""; o.view.catchUp() {
		chances := o.chances()
		if len(chances) == 0 {
			return
		}
		o.turn(chances[0].controller, chances[0].request, plan{})
	}
}

func (w *world) thawOne(t *rapid.T) {
	o := w.drawOperator(t)
	if len(o.frozen) == 0 {
		return
	}
	index := rapid.IntRange(0, len(o.frozen)-1).Draw(t, "frozen")
	w.logf("%d: goes on with %s", o.id, o.frozen[index].request)
	o.thaw(index)
}

// replica starts a second process, with a cache that may be stale, or kills one of two processes.
func (w *world) replica(t *rapid.T) {
	const most = 2
	if len(w.operators) == most {
		index := rapid.IntRange(0, most-1).Draw(t, "operator")
		w.logf("%d: is killed", w.operators[index].id)
		w.operators[index].dead = true
		return
	}
	at := max(0, len(w.server.history)-rapid.IntRange(0, 8).Draw(t, "old"))
	o := newOperator(w, at)
	w.logf("%d: starts, with a cache that is %d changes old", o.id, len(w.server.history)-at)
	w.operators = append(w.operators, o)
}
