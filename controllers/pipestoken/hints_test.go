package pipestoken

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/connection"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// hinting returns a reconciler whose cache has a PipesToken of a user without an organization, one
// in an organization, one of that organization, and one of another environment.
func hinting(t *testing.T, change ...func(*v1alpha1.PipesToken)) (*Reconciler, *v1alpha1.PipesEnvironment) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	r := &Reconciler{
		DefaultEnvironment: types.NamespacedName{Namespace: "home", Name: "default"},
		Clock:              testingclock.NewFakePassiveClock(noon),
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&v1alpha1.PipesToken{}, connection.UsersIndex, func(o client.Object) []string {
		return []string{r.environmentOf(o.(*v1alpha1.PipesToken)).String()}
	})
	for name, spec := range map[string]v1alpha1.PipesTokenSpec{
		"alone":        {Slug: "github", UserID: "user_1", ConnectionOwner: v1alpha1.ConnectionOwnerUser},
		"member":       {Slug: "github", UserID: "user_1", OrganizationID: "org_1", ConnectionOwner: v1alpha1.ConnectionOwnerUser},
		"organization": {Slug: "github", UserID: "user_1", OrganizationID: "org_1", ConnectionOwner: v1alpha1.ConnectionOwnerOrganization},
		"elsewhere":    {Slug: "github", UserID: "user_1", EnvironmentRef: &v1alpha1.EnvironmentReference{Namespace: "home", Name: "another"}},
	} {
		token := &v1alpha1.PipesToken{ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: name, UID: types.UID(name)}, Spec: spec}
		for _, c := range change {
			c(token)
		}
		builder = builder.WithObjects(token)
	}
	r.Client = builder.Build()
	return r, &v1alpha1.PipesEnvironment{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "default"}}
}

// hintedNames returns the PipesTokens for which a hint is pending.
func hintedNames(r *Reconciler) (names []string) {
	for name := range r.memory.hints {
		names = append(names, name.Name)
	}
	slices.Sort(names)
	return names
}

func connectedAt(at time.Time, slug, user, organization string) workos.Event {
	return workos.Event{ID: "event_1", Kind: workos.EventConnected, CreatedAt: at, Slug: slug, UserID: user, OrganizationID: organization}
}

func TestAnEventConcernsExactlyTheConnectionThatItNames(t *testing.T) {
	for name, test := range map[string]struct {
		event workos.Event
		want  []string
	}{
		"a user":                    {connectedAt(noon, "github", "user_1", ""), []string{"alone"}},
		"a user in an organization": {connectedAt(noon, "github", "user_1", "org_1"), []string{"member"}},
		"an organization":           {connectedAt(noon, "github", "", "org_1"), []string{"organization"}},
		"another slug":              {connectedAt(noon, "slack", "user_1", ""), nil},
		"another user":              {connectedAt(noon, "github", "user_2", ""), nil},
		"another organization":      {connectedAt(noon, "github", "user_1", "org_2"), nil},
		"another type":              {workos.Event{ID: "event_1", Kind: workos.EventOther, CreatedAt: noon, Slug: "github", UserID: "user_1"}, nil},
		"nobody":                    {workos.Event{ID: "event_1", Kind: workos.EventConnected, CreatedAt: noon, Slug: "github"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r, environment := hinting(t)
			heeded := r.Hint(t.Context(), environment, []workos.Event{test.event}, false)
			if got := hintedNames(r); !slices.Equal(got, test.want) || heeded[0] != (test.want != nil) {
				t.Errorf("got %v, heeded %v; want %v", got, heeded, test.want)
			}
		})
	}
}

// After a start the events of the last hour come again. They cost no call for what is known.
func TestAReplayedEventIsNoNewsForThoseWhoKnowMore(t *testing.T) {
	obtained := func(token *v1alpha1.PipesToken) { token.Status.LastRefreshTime = &metav1.Time{Time: noon} }
	disconnected := func(token *v1alpha1.PipesToken) {
		token.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConnectedCondition, Status: metav1.ConditionFalse, LastTransitionTime: metav1.Time{Time: noon},
		}}
	}
	for name, test := range map[string]struct {
		change   func(*v1alpha1.PipesToken)
		at       time.Time
		replayed bool
		want     bool
	}{
		"older than the token":          {obtained, noon.Add(-time.Minute), true, false},
		"of the second of the token":    {obtained, noon.Add(500 * time.Millisecond), true, true},
		"newer than the token":          {obtained, noon.Add(time.Second), true, true},
		"older than the last statement": {disconnected, noon.Add(-time.Minute), true, false},
		"newer than the last statement": {disconnected, noon.Add(time.Minute), true, true},
		"nothing is known":              {func(*v1alpha1.PipesToken) {}, noon.Add(-time.Hour), true, true},
		"an event that has just come":   {obtained, noon.Add(-time.Minute), false, true},
		"an event from the future":      {obtained, noon.Add(240 * time.Hour), true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, environment := hinting(t, test.change)
			heeded := r.Hint(t.Context(), environment, []workos.Event{connectedAt(test.at, "github", "user_1", "")}, test.replayed)
			if heeded[0] != test.want || (len(hintedNames(r)) == 1) != test.want {
				t.Errorf("heeded %v, hinted %v; want %v", heeded, hintedNames(r), test.want)
			}
		})
	}
	r, environment := hinting(t)
	token := &v1alpha1.PipesToken{ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: "alone", UID: "alone"}}
	r.memory.remember(token, attempt{state: attempted, schedule: schedule{at: noon}})
	if r.Hint(t.Context(), environment, []workos.Event{connectedAt(noon.Add(-time.Second), "github", "user_1", "")}, true)[0] {
		t.Error("an event is news although WorkOS was asked after it")
	}
}

// A thousand events about a connection cost one call for each PipesToken, as one event does.
func TestManyEventsAreOneHint(t *testing.T) {
	r, environment := hinting(t)
	var events []workos.Event
	for i := range 1000 {
		events = append(events, connectedAt(noon.Add(-time.Duration(i)*time.Second), "github", "user_1", ""))
	}
	r.Hint(t.Context(), environment, events, false)
	if got := hintedNames(r); !slices.Equal(got, []string{"alone"}) {
		t.Errorf("got %v", got)
	}
	name := types.NamespacedName{Namespace: "agents", Name: "alone"}
	asked := r.memory.hinted(name)
	r.memory.hint(name, asked.Add(time.Second))
	if r.memory.heeded(name, asked); r.memory.hinted(name).IsZero() {
		t.Error("an event that came during the call is forgotten")
	}
	if r.memory.heeded(name, asked.Add(time.Second)); !r.memory.hinted(name).IsZero() {
		t.Error("a hint stays after its call")
	}
}

func TestAHintBringsTheNextCallForward(t *testing.T) {
	missing := finding.New(v1alpha1.NotInstalledReason, "not connected")
	later := schedule{notBefore: noon.Add(time.Hour)}
	waits := func(o *observation) {
		o.secret, o.standing = tokensecret.Secret{State: tokensecret.Absent}, missing
		o.last = attempt{state: attempted, schedule: later, finding: missing}
	}
	for name, test := range map[string]struct {
		change func(*observation)
		want   action
	}{
		"for a valid token":         {func(*observation) {}, fetch},
		"while a person has to act": {waits, fetch},
		"unless the last call was held back": {func(o *observation) {
			o.last = attempt{refresh: handled{waits: true}, schedule: later}
		}, relabel},
		"and not while it is suspended": {func(o *observation) { o.token.Spec.Suspend = true }, wait},
		"and not without a grant":       {func(o *observation) { o.origin.granted = false }, withdraw},
		"and not while it is deleted":   {func(o *observation) { o.token.DeletionTimestamp = &metav1.Time{Time: noon} }, wait},
	} {
		t.Run(name, func(t *testing.T) {
			seen := healthy()
			test.change(&seen)
			seen.hinted = noon
			if got := decide(seen); got.action != test.want {
				t.Errorf("got %s (%s)", got.action, got.cause)
			}
			if turn := turnOf(seen); !turn.Refresh || turn.Idle {
				t.Errorf("the turn is %+v", turn)
			}
		})
	}
}

// A request that has to wait for its turn must not wait for a poll that is an hour away.
func TestWhatWasHeldBackDoesNotWaitForTheRarePoll(t *testing.T) {
	missing := finding.New(v1alpha1.NotInstalledReason, "not connected")
	seen := healthy()
	seen.secret, seen.standing = tokensecret.Secret{State: tokensecret.Absent}, missing
	seen.polls = polls{followed: true, seed: "uid"}
	turn := noon.Add(5 * time.Second)
	seen.last = attempt{
		state: attempted, finding: missing, schedule: schedule{notBefore: turn}, refresh: handled{waits: true},
	}
	for name, cause := range map[string]func(*observation){
		"an event": func(o *observation) { o.hinted = noon },
		"a refresh": func(o *observation) {
			o.token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"}
		},
		"a poll": func(*observation) {},
	} {
		t.Run(name, func(t *testing.T) {
			seen := seen
			seen.token = seen.token.DeepCopy()
			cause(&seen)
			seen.now = turn.Add(-time.Second)
			if got := decide(seen); got.action == fetch {
				t.Errorf("it goes ahead of its turn: %s", got.cause)
			}
			if due := attemptDue(outcome{seen: seen, secret: seen.secret, finding: missing}, seen.last); !due.Equal(turn) {
				t.Errorf("the next attempt is due after %s", due.Sub(noon))
			}
			seen.now = turn
			if got := decide(seen); got.action != fetch {
				t.Errorf("got %s when its turn has come", got.action)
			}
		})
	}
}

func TestPollsAreRareWhileEventsAreFollowed(t *testing.T) {
	missing := finding.New(v1alpha1.NotInstalledReason, "not connected")
	last := attempt{state: attempted, schedule: schedule{notBefore: noon.Add(time.Minute)}}
	for name, test := range map[string]struct {
		polls       polls
		standing    finding.Finding
		least, most time.Duration
	}{
		"without events":          {polls{}, missing, time.Minute, time.Minute},
		"with events":             {polls{followed: true}, missing, 31 * time.Minute, 91 * time.Minute},
		"with events, of many":    {polls{followed: true, crowd: 100_000}, missing, 111 * time.Hour, 334 * time.Hour},
		"events have been lost":   {polls{lost: noon.Add(time.Hour)}, missing, time.Hour, 70 * time.Minute},
		"events were lost before": {polls{lost: noon}, missing, time.Minute, time.Minute},
		"what no event announces": {polls{followed: true}, finding.New(v1alpha1.IntegrationNotFoundReason, ""), time.Minute, time.Minute},
		"what passes by itself":   {polls{followed: true}, finding.New(v1alpha1.UpstreamUnavailableReason, ""), time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			test.polls.seed = "uid"
			if got := test.polls.due(test.standing, last).Sub(noon); got < test.least || got > test.most {
				t.Errorf("got %s, want %s to %s", got, test.least, test.most)
			}
		})
	}
}
