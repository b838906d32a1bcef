//go:build reliability

package model_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// These tests are the shortest sequences that reproduce the defects that the model has found.

// theirs is the connection of the user of a story.
var theirs = workossim.ID{Slug: "github", UserID: "u1"}

// story is a world with one PipesToken, x, and a connection for it. See user.
func story(t *testing.T, namespace string, change ...func(*workossim.Connection)) (*world, types.NamespacedName) {
	t.Helper()
	w, key := newWorld(t, plenty), types.NamespacedName{Namespace: namespace, Name: "x"}
	t.Cleanup(w.end)
	w.user(key, change...)
	return w, key
}

// change edits a PipesToken.
func (w *world) change(key types.NamespacedName, change func(*v1alpha1.PipesToken)) {
	w.server.edit(tokens, key, func(object client.Object) { change(object.(*v1alpha1.PipesToken)) })
}

// forgeNotInstalled writes a status that says that the user has not connected.
func (w *world) forgeNotInstalled(key types.NamespacedName, since time.Time) {
	w.change(key, func(token *v1alpha1.PipesToken) {
		token.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ReadyCondition, Status: metav1.ConditionFalse, Reason: v1alpha1.NotInstalledReason,
			LastTransitionTime: metav1.NewTime(since),
		}}
	})
}

// turnOf runs one reconcile of a PipesToken.
func (o *operator) turnOf(key types.NamespacedName, p plan) {
	o.turn("pipestoken", reconcile.Request{NamespacedName: key}, p)
}

// expectRight expects that a PipesToken and its Secret are as they must be without any fault.
func (w *world) expectRight(t *testing.T, key types.NamespacedName) {
	t.Helper()
	if wrong := w.wrong(w.server.token(key)); wrong != "" {
		t.Error(wrong)
	}
}

// expectTokens expects no token or one in the Secret.
func (w *world) expectTokens(t *testing.T, key types.NamespacedName, count int) {
	t.Helper()
	if held := tokensIn(w.server.secret(key)); len(held) != count {
		t.Errorf("invariant %d: the Secret holds %v", map[int]int{0: 15, 1: 3}[count], held)
	}
}

// user creates a PipesToken, and a connection for it whose tokens live for 30 seconds. change can
// alter the connection.
func (w *world) user(key types.NamespacedName, change ...func(*workossim.Connection)) {
	w.server.put(tokens, &v1alpha1.PipesToken{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Spec:       v1alpha1.PipesTokenSpec{Slug: "github", UserID: "u1", InactivePolicy: v1alpha1.InactivePolicyClear},
	})
	connection := workossim.Connection{ID: theirs, State: workossim.Connected, Lifetime: 30 * time.Second}
	for _, c := range change {
		c(&connection)
	}
	w.workos.Put(connection)
	w.connections[connection.ID] = connection
}

func workingDay(c *workossim.Connection) { c.Lifetime = 8 * time.Hour }

func alwaysFresh(c *workossim.Connection) { c.AlwaysFresh = true }

// withdrawGrants removes all grants of the default environment, as its owner does.
func (w *world) withdrawGrants() {
	w.server.edit(environments, defaultEnvironment, func(object client.Object) {
		object.(*v1alpha1.PipesEnvironment).Spec.Grants = nil
	})
}

// requestRefresh sets the annotation that requests a refresh, as a person does.
func (w *world) requestRefresh(key types.NamespacedName, value string) {
	w.server.edit(tokens, key, func(object client.Object) {
		object.SetAnnotations(map[string]string{v1alpha1.RefreshRequestedAtAnnotation: value})
	})
}

// Defect: the clock of a node was hours ahead. The operator took a valid token for an expired
// token, and noted the time of the next attempt by that clock. After the clock was right again,
// the operator waited for hours.
func TestAWaitThatAClockNotedWhichWasAheadEndsWithIt(t *testing.T) {
	w, _ := story(t, "tenant-a")
	o := w.operators[0]
	o.skew, w.takesTheCeiling = 3*time.Hour, true
	o.drain()
	w.settle()
}

// Defect: the clock of the node was off by hours, and the operator used it. Each token stayed in
// the Secret for hours after it had expired.
func TestAClockThatIsBehindCostsNoToken(t *testing.T) {
	for _, off := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		w, _ := story(t, "tenant-a", alwaysFresh, func(c *workossim.Connection) { c.Lifetime = 10 * time.Minute })
		o := w.operators[0]
		o.skew = off
		o.drain()
		o.run(30 * time.Minute) // a clock that is ahead is noticed after a minute
		w.quiet = true
		o.run(4 * time.Hour)
		w.check()
	}
}

// Defect: while nothing could be written, a stranger created the Secret with the operator's
// labels and owner, but with another type. Each rehearsal found that the type was not the
// requested type, and blamed admission, forever.
func TestASecretOfAnotherTypeInOurNameIsMadeAnew(t *testing.T) {
	w, key := story(t, "tenant-a", workingDay)
	w.change(key, func(token *v1alpha1.PipesToken) { token.Spec.SecretTemplate = templates[5] })
	w.server.admission = down
	w.operators[0].drain()
	owner := *metav1.NewControllerRef(w.server.token(key), v1alpha1.GroupVersion.WithKind("PipesToken"))
	w.server.put(secrets, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: key.Name, OwnerReferences: []metav1.OwnerReference{owner},
			Labels: map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue, v1alpha1.TokenLabel: key.Name},
		},
		Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"forged": []byte("data")},
	})
	w.settle()
}

// Attack or defect of WorkOS: an answer whose date is hours in the past would delay the renewal
// of the token by as many hours.
func TestADateThatIsWrongForAMomentCostsNoToken(t *testing.T) {
	w, _ := story(t, "tenant-a", alwaysFresh, func(c *workossim.Connection) { c.Lifetime = 10 * time.Minute })
	o := w.operators[0]
	w.workos.Inject(workossim.Fault{Kind: workossim.FaultDateOffset, DateOffset: -2 * time.Hour, Times: 2})
	o.drain()
	w.quiet = true
	o.run(4 * time.Hour)
	w.check()
}

// Defect: the Secret said that its token was obtained days in the future. The token has no
// expiry, so the operator did not check it again until those days had passed.
func TestATokenThatAClockNotedWhichWasAheadIsLookedAt(t *testing.T) {
	w, _ := story(t, "tenant-a")
	o := w.operators[0]
	w.workos.Put(workossim.Connection{ID: theirs, NoExpiry: true})
	o.skew = 72 * time.Hour
	o.drain()
	o.dead = true
	w.buryTheDead()
	before := len(w.calls)
	w.operators[0].run(4 * time.Hour)
	w.check()
	if made := len(w.calls) - before; made < 3 || made > 6 {
		t.Errorf("in four hours, it was looked at %d times", made)
	}
}

// Defect: a token that expired within five seconds of its arrival was due at once, but the
// operator could not ask for it yet. It reconciled the object every millisecond.
func TestATokenThatExpiresRightAfterItsArrivalIsNoHotLoop(t *testing.T) {
	w, _ := story(t, "tenant-a")
	w.clock.SetTime(start.Add(29 * time.Second))
	w.operators[0].run(time.Minute)
	w.check()
	if len(w.calls) > 8 {
		t.Errorf("got %d calls", len(w.calls))
	}
}

// Defect: a forged status said that the user had not connected. A replica that had read this
// status removed the token that the other replica had obtained in the meantime.
func TestAStatusTakesNoTokenAway(t *testing.T) {
	w, key := story(t, "tenant-a")
	w.forgeNotInstalled(key, start.Add(time.Hour))
	first, second := w.operators[0], newOperator(w, len(w.server.history))
	w.operators = append(w.operators, second)
	second.drain()
	w.requestRefresh(key, "now")
	first.drain()
	second.drain()
	w.check()
	w.expectTokens(t, key, 1)
}

// Defect: after a crash, a changed template was not applied until another event requeued the
// object, half an hour later.
func TestATemplateThatChangedBeforeACrashIsAppliedSoon(t *testing.T) {
	w, key := story(t, "tenant-a", workingDay)
	w.operators[0].drain()
	w.operators[0].dead = true
	w.change(key, func(token *v1alpha1.PipesToken) { token.Spec.SecretTemplate = templates[2] })
	w.buryTheDead()
	w.operators[0].run(time.Minute)
	w.expectRight(t, key)
}

// Defect: a leader that was stopped past its Lease continued for a while. It overwrote the status
// of the new leader with its own older findings: a failed renewal and an older refresh request.
// Nothing notified the new leader, because for it nothing had changed.
func TestAFormerLeaderLeavesTheStatusOfALaterTokenAlone(t *testing.T) {
	w, key := story(t, "tenant-a", workingDay, alwaysFresh)
	former := w.operators[0]
	former.drain()

	w.clock.SetTime(start.Add(time.Minute))
	w.workos.Inject(workossim.Fault{Kind: workossim.FaultRateLimited, RetryAfter: "30", Times: 1})
	w.requestRefresh(key, "first")
	former.drain()
	leader := newOperator(w, len(w.server.history))
	w.operators = append(w.operators, leader)
	w.clock.SetTime(start.Add(time.Minute + 10*time.Second))
	w.requestRefresh(key, "second")
	leader.drain()
	wanted := w.server.token(key).Status
	if wanted.LastHandledRefreshRequest != "second" || !wanted.LastRefreshTime.Time.Equal(w.clock.Now()) {
		t.Fatalf("the leader has got no token: %+v", wanted)
	}

	former.drain()
	w.check()
	if got := w.server.token(key).Status; !equality.Semantic.DeepEqual(got, wanted) {
		t.Errorf("the status is\n%+v, and was\n%+v", got, wanted)
	}
}

// Defect, with inactivePolicy Retain: the user had connected again, and a process died after it
// wrote the token and before it wrote the status. Its successor completed the status to a
// contradiction: Ready, but not Connected.
func TestAfterACrashTheLaterTokenSaysThatTheUserIsConnected(t *testing.T) {
	w, key := story(t, "tenant-a")
	w.change(key, func(token *v1alpha1.PipesToken) { token.Spec.InactivePolicy = v1alpha1.InactivePolicyRetain })
	w.workos.SetState(theirs, workossim.NotInstalled)
	w.operators[0].drain()
	before := w.server.token(key).Status

	w.clock.SetTime(start.Add(time.Hour))
	w.workos.Put(workossim.Connection{ID: theirs, Lifetime: 8 * time.Hour})
	w.operators[0].drain()
	w.operators[0].dead = true
	w.change(key, func(token *v1alpha1.PipesToken) { token.Status = before })
	w.buryTheDead()
	w.operators[0].drain()
	w.check()
	status := w.server.token(key).Status
	if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ReadyCondition) != meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConnectedCondition) {
		t.Errorf("the status is %+v", status)
	}
}

// Defect: somebody had added a key to the Secret, and a forged or restored status said
// NotInstalled. A process that had just started removed the token, because it treated an altered
// Secret as a Secret without a token.
func TestAStatusTakesNoAlteredTokenAway(t *testing.T) {
	w, key := story(t, "tenant-a")
	w.operators[0].drain()
	w.operators[0].dead = true
	w.editSecret(key, "kubectl", strangerEdits["data, same value"])
	w.forgeNotInstalled(key, start)
	w.buryTheDead()
	w.operators[0].run(time.Minute)
	w.check()
	w.expectRight(t, key)
}

// The following tests cover events that random sequences seldom produce, so that a broken guard
// is noticed in every run.

// There are more PipesTokens than the API key may make requests in a minute.
func TestABudgetIsKept(t *testing.T) {
	w := newWorld(t, 3)
	defer w.end()
	for _, namespace := range tenants {
		for _, name := range []string{"a", "b", "c", "d"} {
			w.user(types.NamespacedName{Namespace: namespace, Name: name})
		}
	}
	w.operators[0].run(5 * time.Minute)
	w.check()
	if len(w.calls) < 14 {
		t.Errorf("only %d calls in five minutes, where three a minute are allowed", len(w.calls))
	}
}

// Somebody edits the Secret after the reconcile has read it and before the reconcile deletes it. The
// reconcile reads the Secret again first.
func TestASecretThatHasChangedIsReadBeforeItIsDeleted(t *testing.T) {
	w, key := story(t, "tenant-a")
	w.change(key, func(token *v1alpha1.PipesToken) { token.Spec.InactivePolicy = v1alpha1.InactivePolicyDelete })
	o := w.operators[0]
	o.drain()
	w.workos.SetState(theirs, workossim.NotInstalled)
	w.requestRefresh(key, "now")
	w.clock.SetTime(start.Add(10 * time.Second))
	o.view.catchUp()
	const deletion = 1 // the request after the call to WorkOS
	intrusions := 0
	o.turnOf(key, plan{at: deletion, effect: intruded, intrude: func() {
		w.editSecret(key, "kubectl", strangerEdits["label"])
		intrusions++
	}})
	if len(w.calls) != 2 || intrusions != 1 {
		t.Fatalf("the story is not as it says: %d calls, %d intrusions", len(w.calls), intrusions)
	}
	w.check() // the operator deletes only a version that it has read
	if w.server.secret(key) != nil {
		t.Error("the Secret is still there")
	}
}

// Defect: somebody removed our label from the Secret just before its token was withdrawn, so the
// Secret left the cache. The status already said that there was no grant, so the operator did not
// look for the Secret any more, and the token stayed.
func TestATokenThatCouldNotBeWithdrawnIsLookedFor(t *testing.T) {
	w, key := story(t, "tenant-b")
	o := w.operators[0]
	o.drain()
	w.withdrawGrants()
	o.view.catchUp()
	o.turnOf(key, plan{at: 0, effect: intruded, intrude: func() {
		w.editSecret(key, "kubectl", strangerEdits["remove our label"])
	}})
	o.run(time.Minute)
	w.check()
	w.expectTokens(t, key, 0)
}

// WorkOS says that the user has not connected the integration, the token is retained, and then
// the PipesToken is suspended. The condition must stay, because the operator does not ask WorkOS
// again, and the token must stay.
func TestASuspendedPipesTokenKeepsWhatWorkOSSaidLast(t *testing.T) {
	w, key := story(t, "tenant-a", workingDay)
	w.change(key, func(token *v1alpha1.PipesToken) { token.Spec.InactivePolicy = v1alpha1.InactivePolicyRetain })
	o := w.operators[0]
	o.run(time.Minute)
	w.workos.SetState(theirs, workossim.NotInstalled)
	w.requestRefresh(key, "now")
	o.run(time.Minute)
	w.change(key, func(token *v1alpha1.PipesToken) { token.Spec.Suspend = true })
	o.run(time.Minute)
	w.check()
	if ready := meta.FindStatusCondition(w.server.token(key).Status.Conditions, v1alpha1.ReadyCondition); ready.Reason != v1alpha1.NotInstalledReason {
		t.Errorf("Ready says %s", ready.Reason)
	}
	w.expectRight(t, key)
	w.expectTokens(t, key, 1)
}

// askedAndFrozen makes a reconcile that has asked WorkOS for a second token, and stands still before
// it handles the answer.
func askedAndFrozen(t *testing.T, namespace string) (*world, *operator) {
	t.Helper()
	w, key := story(t, namespace, alwaysFresh)
	o := w.operators[0]
	o.drain()
	w.requestRefresh(key, "now")
	w.clock.SetTime(start.Add(10 * time.Second))
	o.view.catchUp()
	o.turnOf(key, plan{at: 0, effect: freezeAfter})
	if len(w.calls) != 2 || len(o.frozen) != 1 {
		t.Fatalf("the story is not as it says: %d calls, %d passes that stand still", len(w.calls), len(o.frozen))
	}
	return w, o
}

// The token expires while the node stands still.
func TestAnAnswerThatHasWaitedForTooLongIsNotWritten(t *testing.T) {
	w, o := askedAndFrozen(t, "tenant-a")
	w.clock.SetTime(start.Add(time.Minute))
	o.thaw(0)
	w.settle()
	w.check()
}

// The grant is withdrawn while the node stands still.
func TestAnAnswerThatHasOutlivedItsGrantIsNotWritten(t *testing.T) {
	w, o := askedAndFrozen(t, "tenant-b")
	w.withdrawGrants()
	o.view.catchUp()
	o.thaw(0)
	w.check()
	w.settle()
}

// Admission keeps a token out of its Secret for ten minutes.
func TestAdmissionThatKeepsTokensOutCostsFewCalls(t *testing.T) {
	for _, kept := range []admission{down, refuses, strips} {
		t.Run(string(kept), func(t *testing.T) {
			w, key := story(t, "tenant-a", workingDay, alwaysFresh)
			w.server.admission = kept
			o := w.operators[0]
			o.run(10 * time.Minute)
			w.check()
			ready := meta.FindStatusCondition(w.server.token(key).Status.Conditions, v1alpha1.ReadyCondition)
			if len(w.calls) > mostWasted || ready == nil || ready.Status == metav1.ConditionTrue {
				t.Errorf("invariant 12: %d calls; %+v", len(w.calls), ready)
			}
			w.server.admission = admits
			o.run(30 * time.Second)
			if wrong := w.wrong(w.server.token(key)); wrong != "" {
				t.Errorf("half a minute after admission admits again: %s", wrong)
			}
		})
	}
}

// A stranger edits a Secret so that the cache shows it no more, or no more as the operator's, and its
// grant is withdrawn at the same time.
func TestATokenInAHiddenSecretIsWithdrawn(t *testing.T) {
	for _, edit := range []string{"orphan", "remove our label"} {
		t.Run(edit, func(t *testing.T) {
			w, key := story(t, "tenant-b", workingDay)
			o := w.operators[0]
			o.run(time.Minute)
			w.editSecret(key, "kubectl", strangerEdits[edit])
			w.withdrawGrants()
			o.run(time.Minute)
			w.check()
			w.expectRight(t, key)
			w.expectTokens(t, key, 0)
		})
	}
}
