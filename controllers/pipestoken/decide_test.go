package pipestoken

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/fairqueue"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// healthy is an observation with nothing to do: a token that lives for an hour, obtained at noon,
// one minute later.
func healthy() observation {
	template, err := tokensecret.Compile(v1alpha1.PipesTokenSpec{})
	if err != nil {
		panic(err)
	}
	return observation{
		now: noon.Add(time.Minute),
		token: &v1alpha1.PipesToken{
			ObjectMeta: metav1.ObjectMeta{Name: "alice", Namespace: "agents", UID: "uid"},
			Spec:       v1alpha1.PipesTokenSpec{Slug: "github", UserID: "user_1"},
		},
		template: template,
		origin:   origin{name: types.NamespacedName{Namespace: "pipes-system", Name: "default"}, environment: &v1alpha1.PipesEnvironment{}, granted: true},
		secret: tokensecret.Secret{State: tokensecret.Intact, Facts: tokensecret.Facts{
			ObtainedAt: noon, ExpiresAt: noon.Add(time.Hour), TemplateHash: template.Hash(), TokenHash: "hash",
		}},
	}
}

func TestDecide(t *testing.T) {
	untilOne := schedule{notBefore: noon.Add(time.Hour)}
	failing := finding.New(v1alpha1.UpstreamUnavailableReason, "trouble")
	for name, test := range map[string]struct {
		seen   func(*observation)
		action action
		reason string
	}{
		"nothing to do":           {func(*observation) {}, relabel, ""},
		"renewal is due":          {func(o *observation) { o.now = noon.Add(58 * time.Minute) }, fetch, ""},
		"renewal is not yet due":  {func(o *observation) { o.now = noon.Add(47 * time.Minute) }, relabel, ""},
		"no Secret":               {func(o *observation) { o.secret = tokensecret.Secret{State: tokensecret.Absent} }, fetch, ""},
		"an empty Secret":         {func(o *observation) { o.secret = tokensecret.Secret{State: tokensecret.Empty} }, fetch, ""},
		"an altered Secret":       {func(o *observation) { o.secret.State = tokensecret.Altered }, fetch, ""},
		"an orphaned Secret":      {func(o *observation) { o.secret.State = tokensecret.Orphaned }, fetch, ""},
		"another template":        {func(o *observation) { o.secret.Facts.TemplateHash = "old" }, fetch, ""},
		"a refresh was requested": {func(o *observation) { request(o, "now") }, fetch, ""},
		"a refresh was handled": {func(o *observation) {
			request(o, "now")
			o.token.Status.LastHandledRefreshRequest = "now"
		}, relabel, ""},
		"a refresh was requested while the last try has to wait": {func(o *observation) {
			request(o, "now")
			o.standing, o.last.schedule.notBefore = failing, noon.Add(time.Hour)
		}, fetch, ""},
		"a refresh was requested while there is no room in the budget": {func(o *observation) {
			request(o, "now")
			o.last = attempt{refresh: handled{waits: true}, schedule: untilOne}
		}, relabel, ""},
		"a Secret that was somebody else's, and has been orphaned": {func(o *observation) {
			o.secret = tokensecret.Secret{State: tokensecret.Orphaned}
			o.last = attempt{state: nameTaken, schedule: untilOne}
		}, fetch, ""},
		"a turn that has to wait": {func(o *observation) {
			o.now = noon.Add(58 * time.Minute)
			o.last = attempt{basis: basis{budget: 1}, schedule: untilOne}
			o.origin.environment.Generation = 1
		}, relabel, ""},
		"a turn that has to wait no longer, where requestsPerMinute has been raised": {func(o *observation) {
			o.now = noon.Add(58 * time.Minute)
			o.last = attempt{basis: basis{budget: 1}, schedule: untilOne}
			o.origin.environment.Generation = 2
		}, fetch, ""},
		"a failure that has to wait": {func(o *observation) {
			o.standing, o.last.schedule.notBefore = failing, noon.Add(time.Hour)
		}, relabel, failing.Reason},
		"a failure that has waited": {func(o *observation) { o.standing, o.last.schedule.notBefore = failing, noon }, fetch, ""},
		"an altered Secret that has to wait": {func(o *observation) {
			o.secret.State, o.last.schedule.notBefore = tokensecret.Altered, noon.Add(time.Hour)
		}, wait, ""},
		"a renewal that has been asked for in vain": {func(o *observation) {
			o.now, o.last.schedule.renewNotBefore = noon.Add(58*time.Minute), noon.Add(59*time.Minute)
		}, relabel, ""},
		"an altered Secret, where renewal has been asked for in vain": {func(o *observation) {
			o.secret.State, o.last.schedule.renewNotBefore = tokensecret.Altered, noon.Add(time.Hour)
		}, fetch, ""},
		"an environment with a new connection": {func(o *observation) {
			o.standing, o.origin.connection = finding.New(v1alpha1.EnvironmentNotReadyReason, "key"), 2
			o.last = attempt{basis: basis{connection: 1}, schedule: untilOne}
		}, fetch, ""},

		"no environment":           {func(o *observation) { o.origin.environment, o.origin.granted = nil, false }, wait, v1alpha1.EnvironmentNotFoundReason},
		"no grant":                 {func(o *observation) { o.origin.granted = false }, withdraw, v1alpha1.NotGrantedReason},
		"no grant, and suspended":  {func(o *observation) { o.origin.granted, o.token.Spec.Suspend = false, true }, withdraw, v1alpha1.NotGrantedReason},
		"no grant, and another's":  {func(o *observation) { o.origin.granted, o.secret.State = false, tokensecret.Foreign }, withdraw, v1alpha1.NotGrantedReason},
		"suspended with a token":   {func(o *observation) { o.token.Spec.Suspend, o.now = true, noon.Add(59*time.Minute) }, wait, ""},
		"suspended, and a refresh": {func(o *observation) { o.token.Spec.Suspend = true; request(o, "now") }, wait, ""},
		"not connected, as it was": {func(o *observation) {
			o.standing, o.last.schedule.notBefore = finding.New(v1alpha1.NotInstalledReason, "x"), noon.Add(time.Hour)
		}, withdraw, v1alpha1.NotInstalledReason},
		"suspended without a token":     {func(o *observation) { o.token.Spec.Suspend, o.secret.State = true, tokensecret.Absent }, wait, v1alpha1.SuspendedReason},
		"somebody else's Secret":        {func(o *observation) { o.secret.State = tokensecret.Foreign }, wait, v1alpha1.SecretConflictReason},
		"a broken template":             {func(o *observation) { o.template, o.templateErr = nil, errBroken }, wait, v1alpha1.InvalidTemplateReason},
		"a broken template, no grant":   {func(o *observation) { o.template, o.templateErr, o.origin.granted = nil, errBroken, false }, withdraw, v1alpha1.NotGrantedReason},
		"a broken template, and due":    {func(o *observation) { o.template, o.templateErr, o.now = nil, errBroken, noon.Add(time.Hour) }, wait, v1alpha1.InvalidTemplateReason},
		"a broken template, and a wish": {func(o *observation) { o.template, o.templateErr = nil, errBroken; request(o, "now") }, wait, v1alpha1.InvalidTemplateReason},
	} {
		t.Run(name, func(t *testing.T) {
			seen := healthy()
			test.seen(&seen)
			decided := decide(seen)
			if decided.action != test.action || decided.finding.Reason != test.reason {
				t.Errorf("decided %+v, want %s %s", decided, test.action, test.reason)
			}
			if (decided.action == fetch) != (decided.cause != "") {
				t.Errorf("a fetch has a cause, and nothing else has: %+v", decided)
			}
		})
	}
}

var errBroken = errors.New("broken")

func request(o *observation, value string) {
	o.token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: value}
}

// Only a valid token with an expiry makes the next reconcile urgent. The cause of that reconcile
// makes no difference.
func TestUrgencyIsTheExpiryOfAValidToken(t *testing.T) {
	valid, expired, unlimited, none := healthy(), healthy(), healthy(), healthy()
	expires := valid.secret.Facts.ExpiresAt
	expired.now = expires
	unlimited.secret.Facts.ExpiresAt = time.Time{}
	none.secret = tokensecret.Secret{State: tokensecret.Absent}
	failed := finding.Finding{Reason: v1alpha1.UpstreamUnavailableReason}
	for name, test := range map[string]struct {
		done outcome
		want int
	}{
		"a valid token":                    {outcomeOf(valid, finding.Finding{}), fairqueue.Renewal(expires)},
		"a valid token that nobody renews": {outcomeOf(valid, failed), fairqueue.Renewal(expires)},
		"an expired token":                 {outcomeOf(expired, failed), fairqueue.Ordinary},
		"a token without expiry":           {outcomeOf(unlimited, finding.Finding{}), fairqueue.Ordinary},
		"no token":                         {outcomeOf(none, failed), fairqueue.Ordinary},
	} {
		if got := urgency(test.done); got != test.want {
			t.Errorf("%s: priority %d, want %d", name, got, test.want)
		}
	}
}

// The API key was replaced during a call that was rejected. The answer says nothing about the new
// key, so the operator must ask again at once.
func TestWhatTheKeyBeforeWasRefusedIsAskedForAgainAtOnce(t *testing.T) {
	done := outcomeOf(healthy(), finding.New(v1alpha1.EnvironmentNotReadyReason, "x"))
	done.attempted, done.call.connection = true, 1
	for _, outdated := range []bool{false, true} {
		done.call.outdated = outdated
		if atOnce := !attemptDue(done, nextAttempt(done, statusOf(done), 0)).After(done.seen.now); atOnce != outdated {
			t.Errorf("outdated: %v, at once: %v", outdated, atOnce)
		}
	}
	next := done.seen
	next.last = nextAttempt(done, statusOf(done), 0)
	next.origin.connection, next.standing = 2, done.finding
	if decided := decide(next); decided.action != fetch {
		t.Errorf("with the next key, decided %+v", decided)
	}
}

// No token is fetched for an object that is being deleted, so its timers would fire forever.
func TestNothingIsDueForWhatIsBeingDeleted(t *testing.T) {
	for _, state := range []tokensecret.State{tokensecret.Absent, tokensecret.Empty, tokensecret.Altered, tokensecret.Intact} {
		seen := healthy()
		seen.token.DeletionTimestamp, seen.secret.State = new(metav1.NewTime(noon)), state
		seen.now = noon.Add(2 * time.Hour)
		if decided := decide(seen); decided.action != wait {
			t.Errorf("Secret %s: decided %s", state, decided.action)
		}
		if due := attemptDue(outcomeOf(seen, finding.Finding{}), attempt{}); !due.IsZero() {
			t.Errorf("Secret %s: due at %s", state, due)
		}
	}
}

// Every reconcile of an existing object must be followed by another reconcile, and no outcome may
// requeue at once forever.
func TestEveryOutcomeComesBack(t *testing.T) {
	for _, reason := range append(slices.Collect(maps.Keys(traits)), "") {
		for _, state := range []tokensecret.State{tokensecret.Absent, tokensecret.Foreign, tokensecret.Empty, tokensecret.Altered, tokensecret.Intact} {
			for _, tried := range []bool{true, false} {
				done := outcomeOf(healthy(), finding.New(reason, "x"))
				done.attempted, done.secret.State = tried, state
				status := statusOf(done)
				next := attemptDue(done, nextAttempt(done, status, 0))
				if trait := traits[reason]; trait.asked && tried && !next.After(done.seen.now) {
					t.Errorf("%s, Secret %s: comes back at once after a try", reason, state)
				}
				if ready := conditions.Ready(status.Conditions); ready.Reason == "" || ready.Message == "" {
					t.Errorf("%s, Secret %s: no Ready condition", reason, state)
				}
			}
		}
	}
}
