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

// What the model has found, by its shortest story.

// user creates a PipesToken for a connection whose tokens live for half a minute, unless it is changed.
func (w *world) user(key types.NamespacedName, change ...func(*workossim.Connection)) {
	w.server.put(tokens, &v1alpha1.PipesToken{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Spec:       v1alpha1.PipesTokenSpec{Slug: "github", UserID: "u1", InactivePolicy: v1alpha1.InactivePolicyClear},
	})
	connection := workossim.Connection{ID: workossim.ID{Slug: "github", UserID: "u1"}, State: workossim.Connected, Lifetime: 30 * time.Second}
	for _, c := range change {
		c(&connection)
	}
	w.workos.Put(connection)
	w.connections[connection.ID] = connection
}

func workingDay(c *workossim.Connection) { c.Lifetime = 8 * time.Hour }

func alwaysFresh(c *workossim.Connection) { c.AlwaysFresh = true }

// requestRefresh asks for a refresh of a PipesToken, as a person does.
func (w *world) requestRefresh(key types.NamespacedName, value string) {
	w.server.edit(tokens, key, func(object client.Object) {
		object.SetAnnotations(map[string]string{v1alpha1.RefreshRequestedAtAnnotation: value})
	})
}

// With its clock hours ahead, a node took a good token for an expired one, and noted when to try again by that clock. Set right,
// it waited for hours.
func TestAWaitThatAClockNotedWhichWasAheadEndsWithIt(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	o := w.operators[0]
	w.user(types.NamespacedName{Namespace: "tenant-a", Name: "x"})
	o.skew, w.takesTheCeiling = 3*time.Hour, true
	o.drain()
	w.settle()
}

// The node's clock was off by hours, and the operator went by it: each token stood expired in the Secret for hours.
func TestAClockThatIsBehindCostsNoToken(t *testing.T) {
	for _, off := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		w := newWorld(t, plenty)
		o := w.operators[0]
		w.user(types.NamespacedName{Namespace: "tenant-a", Name: "x"}, alwaysFresh, func(c *workossim.Connection) { c.Lifetime = 10 * time.Minute })
		o.skew = off
		o.drain()
		o.run(30 * time.Minute) // a clock that is ahead is noticed after a minute
		w.quiet = true
		o.run(4 * time.Hour)
		w.check()
		w.end()
	}
}

// While nothing could be written, a stranger created the Secret in the operator's name, with another type. Each rehearsal found that
// the type was not the one that was asked for, and blamed admission, for good.
func TestASecretOfAnotherTypeInOurNameIsMadeAnew(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	key := types.NamespacedName{Namespace: "tenant-a", Name: "x"}
	w.user(key, workingDay)
	w.server.edit(tokens, key, func(object client.Object) {
		object.(*v1alpha1.PipesToken).Spec.SecretTemplate = &v1alpha1.SecretTemplate{
			Type: v1alpha1.SecretTypeBasicAuth, Data: map[string]v1alpha1.DataTemplate{"username": "x", "password": "{{ .AccessToken }}"},
		}
	})
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

// An answer whose date is hours behind would keep the token from being renewed for as long.
func TestADateThatIsWrongForAMomentCostsNoToken(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	o := w.operators[0]
	w.user(types.NamespacedName{Namespace: "tenant-a", Name: "x"}, alwaysFresh, func(c *workossim.Connection) { c.Lifetime = 10 * time.Minute })
	w.workos.Inject(workossim.Fault{Kind: workossim.FaultDateOffset, DateOffset: -2 * time.Hour, Times: 2})
	o.drain()
	w.quiet = true
	o.run(4 * time.Hour)
	w.check()
}

// The Secret said that its token had been obtained days from then. Having no expiry, it was not looked at again until those days had
// passed.
func TestATokenThatAClockNotedWhichWasAheadIsLookedAt(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	o := w.operators[0]
	w.user(types.NamespacedName{Namespace: "tenant-a", Name: "x"})
	w.workos.Put(workossim.Connection{ID: workossim.ID{Slug: "github", UserID: "u1"}, NoExpiry: true})
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

// A token that expired within five seconds of its arrival was due at once, and might not be asked for yet: a pass every millisecond.
func TestATokenThatExpiresRightAfterItsArrivalIsNoHotLoop(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	w.user(types.NamespacedName{Namespace: "tenant-a", Name: "x"})
	w.clock.SetTime(start.Add(29 * time.Second))
	w.operators[0].run(time.Minute)
	w.check()
	if len(w.calls) > 8 {
		t.Errorf("got %d calls", len(w.calls))
	}
}

// A replica that had read in a status, forged by somebody, that there was no connection took away the token that the other replica had
// obtained since.
func TestAStatusTakesNoTokenAway(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	key := types.NamespacedName{Namespace: "tenant-a", Name: "x"}
	w.user(key)
	w.server.edit(tokens, key, func(object client.Object) {
		object.(*v1alpha1.PipesToken).Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ReadyCondition, Status: metav1.ConditionFalse, Reason: v1alpha1.NotInstalledReason,
			LastTransitionTime: metav1.NewTime(start.Add(time.Hour)),
		}}
	})
	first, second := w.operators[0], newOperator(w, len(w.server.history))
	w.operators = append(w.operators, second)
	second.drain()
	w.requestRefresh(key, "now")
	first.drain()
	second.drain()
	w.check()
	if held := tokensIn(w.server.secret(key)); len(held) != 1 {
		t.Errorf("the Secret holds %v", held)
	}
}

// After a crash, a template that had changed waited until something else brought the object back: half an hour.
func TestATemplateThatChangedBeforeACrashIsAppliedSoon(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	key := types.NamespacedName{Namespace: "tenant-a", Name: "x"}
	w.user(key, workingDay)
	w.operators[0].drain()
	w.operators[0].dead = true
	w.server.edit(tokens, key, func(object client.Object) { object.(*v1alpha1.PipesToken).Spec.SecretTemplate = templates[2] })
	w.buryTheDead()
	w.operators[0].run(time.Minute)
	if wrong := w.wrong(w.server.token(key)); wrong != "" {
		t.Error(wrong)
	}
}

// A leader that had been stopped past its lease worked on for a while, and wrote over the new leader's status what it had found before:
// that renewal failed, and an older refresh request. Nothing woke the new leader, for whom nothing had changed.
func TestAFormerLeaderLeavesTheStatusOfALaterTokenAlone(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	key := types.NamespacedName{Namespace: "tenant-a", Name: "x"}
	w.user(key, workingDay, alwaysFresh)
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

// With inactivePolicy Retain, a process that died between the token of a user who had connected again and its status left behind a
// status that its successor completed to a contradiction: Ready, and not connected.
func TestAfterACrashTheLaterTokenSaysThatTheUserIsConnected(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	key := types.NamespacedName{Namespace: "tenant-a", Name: "x"}
	w.user(key)
	w.server.edit(tokens, key, func(object client.Object) {
		object.(*v1alpha1.PipesToken).Spec.InactivePolicy = v1alpha1.InactivePolicyRetain
	})
	id := workossim.ID{Slug: "github", UserID: "u1"}
	w.workos.SetState(id, workossim.NotInstalled)
	w.operators[0].drain()
	before := w.server.token(key).Status

	w.clock.SetTime(start.Add(time.Hour))
	w.workos.Put(workossim.Connection{ID: id, Lifetime: 8 * time.Hour})
	w.operators[0].drain()
	w.operators[0].dead = true
	w.server.edit(tokens, key, func(object client.Object) { object.(*v1alpha1.PipesToken).Status = before })
	w.buryTheDead()
	w.operators[0].drain()
	w.check()
	status := w.server.token(key).Status
	if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ReadyCondition) != meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConnectedCondition) {
		t.Errorf("the status is %+v", status)
	}
}

// Somebody had added a key to the Secret, and a status had been forged or restored that said NotInstalled: a process that had just
// started took the token away, because a Secret that is altered counted as one without a token.
func TestAStatusTakesNoAlteredTokenAway(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	key := types.NamespacedName{Namespace: "tenant-a", Name: "x"}
	w.user(key)
	w.operators[0].drain()
	w.operators[0].dead = true
	w.editSecret(key, "kubectl", strangerEdits["data, same value"])
	w.server.edit(tokens, key, func(object client.Object) {
		object.(*v1alpha1.PipesToken).Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ReadyCondition, Status: metav1.ConditionFalse, Reason: v1alpha1.NotInstalledReason,
			LastTransitionTime: metav1.NewTime(start),
		}}
	})
	w.buryTheDead()
	w.operators[0].run(time.Minute)
	w.check()
	if wrong := w.wrong(w.server.token(key)); wrong != "" {
		t.Error(wrong)
	}
}

// What random sequences seldom come across is told here too, so that a broken guard is noticed each time.

// More PipesTokens than the key may make requests a minute.
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

// Somebody edits the Secret between the pass that saw it and its deletion.
func TestASecretThatHasChangedIsNotDeleted(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	key := types.NamespacedName{Namespace: "tenant-a", Name: "x"}
	w.user(key)
	w.server.edit(tokens, key, func(object client.Object) {
		object.(*v1alpha1.PipesToken).Spec.InactivePolicy = v1alpha1.InactivePolicyDelete
	})
	o := w.operators[0]
	o.drain()
	w.workos.SetState(workossim.ID{Slug: "github", UserID: "u1"}, workossim.NotInstalled)
	w.requestRefresh(key, "now")
	o.view.catchUp()
	const deletion = 1 // the request after the call of WorkOS
	o.turn("pipestoken", reconcile.Request{NamespacedName: key}, plan{at: deletion, effect: intruded, intrude: func() {
		w.editSecret(key, "kubectl", strangerEdits["label"])
	}})
	if w.server.secret(key) == nil {
		t.Error("the Secret is gone")
	}
	w.check()
	o.run(time.Minute)
	w.check()
	if w.server.secret(key) != nil {
		t.Error("the Secret is still there")
	}
}

// Somebody took our label off the Secret just before its token was withdrawn. The status said all the same that there was no grant, and
// so nobody looked for the Secret any more, which had left the cache: the token stayed.
func TestATokenThatCouldNotBeWithdrawnIsLookedFor(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	key := types.NamespacedName{Namespace: "tenant-b", Name: "x"}
	w.user(key)
	o := w.operators[0]
	o.drain()
	w.server.edit(environments, defaultEnvironment, func(object client.Object) { object.(*v1alpha1.PipesEnvironment).Spec.Grants = nil })
	o.view.catchUp()
	o.turn("pipestoken", reconcile.Request{NamespacedName: key}, plan{at: 0, effect: intruded, intrude: func() {
		w.editSecret(key, "kubectl", strangerEdits["remove our label"])
	}})
	o.run(time.Minute)
	w.check()
	if held := tokensIn(w.server.secret(key)); len(held) > 0 {
		t.Errorf("the Secret still holds %v", held)
	}
}

// WorkOS said that the user had not connected the integration, the token was retained, and then the PipesToken was suspended: what was
// said stands, for as long as nobody asks again, and the token stays.
func TestASuspendedPipesTokenKeepsWhatWorkOSSaidLast(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	key := types.NamespacedName{Namespace: "tenant-a", Name: "x"}
	w.user(key, workingDay)
	edit := func(change func(*v1alpha1.PipesToken)) {
		w.server.edit(tokens, key, func(object client.Object) { change(object.(*v1alpha1.PipesToken)) })
	}
	edit(func(token *v1alpha1.PipesToken) { token.Spec.InactivePolicy = v1alpha1.InactivePolicyRetain })
	o := w.operators[0]
	o.run(time.Minute)
	w.workos.SetState(workossim.ID{Slug: "github", UserID: "u1"}, workossim.NotInstalled)
	w.requestRefresh(key, "now")
	o.run(time.Minute)
	edit(func(token *v1alpha1.PipesToken) { token.Spec.Suspend = true })
	o.run(time.Minute)
	w.check()
	if ready := meta.FindStatusCondition(w.server.token(key).Status.Conditions, v1alpha1.ReadyCondition); ready.Reason != v1alpha1.NotInstalledReason {
		t.Errorf("Ready says %s", ready.Reason)
	}
	if wrong := w.wrong(w.server.token(key)); wrong != "" {
		t.Error(wrong)
	}
	if held := tokensIn(w.server.secret(key)); len(held) != 1 {
		t.Errorf("the Secret holds %v", held)
	}
}

// A node stood still between WorkOS's answer and what was made of it, until the token had expired.
func TestAnAnswerThatHasWaitedForTooLongIsNotWritten(t *testing.T) {
	w := newWorld(t, plenty)
	defer w.end()
	key := types.NamespacedName{Namespace: "tenant-a", Name: "x"}
	w.user(key, alwaysFresh)
	o := w.operators[0]
	o.drain()
	w.requestRefresh(key, "now")
	w.clock.SetTime(start.Add(10 * time.Second))
	o.view.catchUp()
	o.turn("pipestoken", reconcile.Request{NamespacedName: key}, plan{at: 0, effect: freezeAfter})
	if len(w.calls) != 2 || len(o.frozen) != 1 {
		t.Fatalf("the story is not as it says: %d calls, %d passes that stand still", len(w.calls), len(o.frozen))
	}
	w.clock.SetTime(start.Add(time.Minute))
	o.thaw(0)
	w.settle()
	w.check()
}
