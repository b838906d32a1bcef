package pipestoken

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/connection"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// waiting returns a PipesToken of the default environment whose token expires after a duration;
// if expires is negative, it has no token.
func waiting(name, slug string, expires time.Duration) *v1alpha1.PipesToken {
	token := &v1alpha1.PipesToken{
		ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: name, UID: types.UID(name)},
		Spec:       v1alpha1.PipesTokenSpec{Slug: slug, UserID: "user_" + name},
	}
	if expires >= 0 {
		token.Status.ExpirationTime = &metav1.Time{Time: noon.Add(expires)}
	}
	return token
}

func TestThoseHeldBackAreCalledBackInTheOrderOfTheirExpiry(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	home := types.NamespacedName{Namespace: "pipes-system", Name: "default"}
	r := &Reconciler{DefaultEnvironment: home}
	tokens := []*v1alpha1.PipesToken{
		waiting("first", "github", -1), waiting("late", "github", time.Hour), waiting("soon", "github", time.Minute),
		waiting("slack", "slack", 2*time.Minute), waiting("free", "github", 0),
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&v1alpha1.PipesToken{}, connection.UsersIndex, func(o client.Object) []string {
		return []string{r.environmentOf(o.(*v1alpha1.PipesToken)).String()}
	})
	for _, token := range tokens {
		builder = builder.WithObjects(token)
		if token.Name != "free" {
			r.memory.remember(token, attempt{basis: basis{epoch: 7}})
		}
	}
	r.Client = builder.Build()
	for name, test := range map[string]struct {
		environment types.NamespacedName
		of          workos.Request
		want        []string
	}{
		"a slug is answered again":      {home, workos.Request{Slug: "github"}, []string{"soon", "late", "first"}},
		"the key may be used again":     {home, workos.Request{}, []string{"soon", "slack", "late", "first"}},
		"an answer has come":            {home, workos.Request{Slug: "github", UserID: "user_late"}, []string{"late"}},
		"another organization's answer": {home, workos.Request{Slug: "github", UserID: "user_late", OrganizationID: "org_1"}, nil},
		"another environment":           {types.NamespacedName{Namespace: "other", Name: "default"}, workos.Request{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, request := range r.heldBackFor(t.Context(), test.environment, test.of) {
				got = append(got, request.Name)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// An attempt that was held back does not wait for its time after it is released. An attempt that
// failed by itself does.
func TestAttemptThatWasHeldBackIsReleased(t *testing.T) {
	for name, test := range map[string]struct {
		since, epoch uint64
		released     bool
	}{
		"it still is":           {3, 3, false},
		"that has ended":        {3, 4, true},
		"it never was":          {0, 4, false},
		"there is another key":  {3, 9, true},
		"there is no client":    {3, 0, true},
		"nothing was ever held": {0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			seen := healthy()
			seen.last = attempt{schedule: schedule{notBefore: noon.Add(30 * time.Minute)}, basis: basis{epoch: test.since}}
			seen.origin.epoch = test.epoch
			if got := seen.notBefore().IsZero(); got != test.released {
				t.Errorf("it waits until %s", seen.notBefore())
			}
		})
	}
}

func TestHeldAttemptWaitsForItsTurnAndNotForABackOff(t *testing.T) {
	held := workos.Answer{Outcome: workos.OutcomeUnavailable, RetryAfter: 3 * time.Second, Epoch: 5, Down: true}
	failed := held
	failed.Sent = true
	alone := workos.Answer{Outcome: workos.OutcomeUnavailable, Sent: true, Epoch: 5}
	limited := workos.Answer{Outcome: workos.OutcomeRateLimited, RetryAfter: time.Hour, Epoch: 5}
	for name, test := range map[string]struct {
		answer   workos.Answer
		wait     time.Duration
		failures int
		since    uint64
	}{
		"held back by a circuit":           {held, 3 * time.Second, 9, 5},
		"failed while the circuit is open": {failed, 3 * time.Second, 9, 5},
		"failed alone":                     {alone, 0, 10, 0},
		"held back by a Retry-After":       {limited, time.Hour, 9, 5},
	} {
		t.Run(name, func(t *testing.T) {
			seen := healthy()
			seen.now, seen.last.streak.failures = noon.Add(2*time.Hour), 9 // the token has expired
			done := outcomeOf(seen, failure(seen, test.answer))
			done.attempted, done.call.answer = true, test.answer
			next := nextAttempt(done, v1alpha1.PipesTokenStatus{}, 0)
			if next.streak.failures != test.failures || next.basis.epoch != test.since {
				t.Errorf("%d failures, held since %d", next.streak.failures, next.basis.epoch)
			}
			if wait := next.schedule.notBefore.Sub(seen.now); test.wait != 0 && wait != test.wait || test.wait == 0 && wait < 4*time.Minute {
				t.Errorf("waits for %v", wait)
			}
		})
	}
}

// The message contains the time until which WorkOS has asked to wait. It stays the same as long
// as that wait lasts.
func TestTimeThatWorkOSAskedForIsTold(t *testing.T) {
	until := noon.Add(3 * time.Hour)
	limited := workos.Answer{Outcome: workos.OutcomeRateLimited, Message: "no request is sent", RetryAfter: time.Hour, Until: until}
	seen := healthy()
	first := failure(seen, limited)
	if !strings.Contains(first.Text(), "2026-11-23T15:00:00Z") {
		t.Fatalf("got %q", first.Text())
	}
	seen.standing = first
	later := limited
	later.RetryAfter = time.Minute
	if got := failure(seen, later); got != first {
		t.Errorf("a minute before its end: %q", got.Text())
	}
	later.Until = until.Add(time.Hour)
	if got := failure(seen, later); !strings.Contains(got.Text(), "2026-11-23T16:00:00Z") {
		t.Errorf("got %q of another time", got.Text())
	}
	later.Until = time.Time{}
	if got := failure(seen, later); strings.Contains(got.Text(), "not before") {
		t.Errorf("got %q after its end", got.Text())
	}
	own := limited
	own.Sent, own.Message, own.RequestID = true, "Slow down", "req_1"
	if got := failure(healthy(), own); !strings.Contains(got.Text(), "2026-11-23T15:00:00Z") || !strings.Contains(got.Text(), "Slow down") {
		t.Errorf("got %q", got.Text())
	}
}

func TestTurnOfACall(t *testing.T) {
	expires := noon.Add(time.Hour)
	for name, test := range map[string]struct {
		change func(*observation)
		want   workos.Turn
	}{
		"a renewal that is due":   {func(o *observation) { o.now = noon.Add(50 * time.Minute) }, workos.Turn{Deadline: expires, Proven: true}},
		"a look at a valid token": {func(*observation) {}, workos.Turn{Proven: true}},
		"a refresh that somebody asks for": {func(o *observation) {
			o.token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"}
		}, workos.Turn{Proven: true, Refresh: true}},
		"a token that has expired":  {func(o *observation) { o.now = expires }, workos.Turn{Proven: true, Expired: true}},
		"a first token":             {func(o *observation) { o.secret = tokensecret.Secret{State: tokensecret.Absent} }, workos.Turn{}},
		"a Secret that was emptied": {func(o *observation) { o.secret = tokensecret.Secret{State: tokensecret.Empty} }, workos.Turn{}},
		"a look whether somebody has acted": {func(o *observation) {
			o.secret, o.standing.Reason = tokensecret.Secret{State: tokensecret.Empty}, v1alpha1.NotInstalledReason
		}, workos.Turn{Idle: true}},
		"a token without an expiry": {func(o *observation) {
			o.secret.Facts.ExpiresAt, o.now = time.Time{}, noon.Add(2*time.Hour)
		}, workos.Turn{Proven: true, Idle: true}},
	} {
		t.Run(name, func(t *testing.T) {
			seen := healthy()
			test.change(&seen)
			test.want.Share, test.want.Asker = "agents", "uid"
			if got := turnOf(seen); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
