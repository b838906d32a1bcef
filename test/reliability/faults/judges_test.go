//go:build reliability

package faults_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness/canary"
)

// These tests show what the judges accept and what they report.

var (
	noon  = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	alice = workossim.Connection{ID: workossim.ID{Slug: "github", UserID: "alice"}, Lifetime: 4 * time.Minute, AlwaysFresh: true}
	bob   = workossim.Connection{ID: workossim.ID{Slug: "github", UserID: "bob"}}
)

func at(after time.Duration) time.Time { return noon.Add(after) }

// answered is a call that returned a token of Alice, which lives for four minutes.
func answered(after time.Duration, serial int) workossim.Request {
	return workossim.Request{Time: at(after), ID: alice.ID, Status: http.StatusOK, Result: workossim.ResultToken,
		TokenSerial: serial, TokenExpiresAt: at(after + alice.Lifetime)}
}

// aliceToken is a version of Alice's PipesToken.
func aliceToken(after time.Duration, change func(*v1alpha1.PipesToken)) version {
	token := &v1alpha1.PipesToken{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "alice", UID: "uid-alice"},
		Spec: v1alpha1.PipesTokenSpec{Slug: "github", UserID: "alice"}}
	if change != nil {
		change(token)
	}
	return version{at: at(after), revision: 1 + int64(after.Seconds()), kind: tokenKind, name: "a/alice", token: token}
}

// written is a version of Alice's Secret, as the operator writes it.
func written(after time.Duration, value string, expires time.Time) version {
	secret := &corev1.Secret{Data: map[string][]byte{"access_token": []byte(value)}}
	secret.OwnerReferences = []metav1.OwnerReference{{UID: "uid-alice", Controller: ptr.To(true)}}
	secret.Annotations = map[string]string{
		tokensecret.ExpiresAtAnnotation: expiryText(expires), tokensecret.ObtainedAtAnnotation: formatExpiry(at(after)),
	}
	secret.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: tokensecret.FieldManager,
		FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:access_token":{}}}`)}}
	return version{at: at(after), revision: 1 + int64(after.Seconds()), kind: secretKind, name: "a/alice", secret: secret}
}

func aliceHas(after time.Duration, serial int, expires time.Duration) version {
	return written(after, workossim.TokenValue(alice, serial), at(expires))
}

func TestWhichTokensMayStandInASecret(t *testing.T) {
	calls := []workossim.Request{answered(0, 1), answered(2*time.Minute, 2)}
	first, second := aliceHas(time.Second, 1, 4*time.Minute), aliceHas(121*time.Second, 2, 6*time.Minute)
	edited := aliceHas(10*time.Second, 7, 4*time.Minute)
	edited.secret.ManagedFields[0].Manager = "kubectl-edit"
	for name, test := range map[string]struct {
		versions []version
		says     string
	}{
		"one after the other":       {[]version{first, second}, ""},
		"one that a stranger wrote": {[]version{first, edited, second}, ""},
		"one never handed out":      {[]version{first, aliceHas(time.Minute, 3, 5*time.Minute)}, "holds token 3, which WorkOS has not handed out"},
		"somebody else's":           {[]version{written(time.Second, workossim.TokenValue(bob, 1), at(4*time.Minute))}, "a token of somebody else's"},
		"the expiry of another":     {[]version{aliceHas(time.Second, 1, 6*time.Minute)}, "token 1 expires at 2026-11-24T12:04:00Z, and beside it is 2026-11-24T12:06:00Z"},
		"one that came back":        {[]version{first, second, aliceHas(3*time.Minute, 1, 4*time.Minute)}, "token 1 comes after token 2"},
	} {
		t.Run(name, func(t *testing.T) {
			held, wrong := holdings(append([]version{aliceToken(0, nil)}, test.versions...), calls, at(5*time.Minute))
			expectFinding(t, append(wrong, replacedByOlder(held)...), test.says)
		})
	}
}

func TestStrangersSecretsMayNotBeTouched(t *testing.T) {
	stranger := func(change func(*corev1.Secret)) version {
		secret := &corev1.Secret{Data: map[string][]byte{strangeKey: []byte(strangersValue)}}
		change(secret)
		return version{kind: secretKind, name: "a/theirs", secret: secret}
	}
	for name, test := range map[string]struct {
		found version
		says  string
	}{
		"as it was":   {stranger(func(*corev1.Secret) {}), ""},
		"ours":        {aliceHas(0, 1, time.Minute), ""},
		"deleted":     {version{kind: secretKind, name: "a/theirs"}, "is gone"},
		"overwritten": {stranger(func(s *corev1.Secret) { s.Data = nil }), "has other data"},
		"labelled by us": {stranger(func(s *corev1.Secret) {
			s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: tokensecret.FieldManager}}
		}), "written by the operator"},
		"somebody else's":    {version{kind: secretKind, name: "a/others"}, ""},
		"not even a Secret":  {version{kind: leaseKind, name: "a/theirs"}, ""},
		"labelled by others": {stranger(func(s *corev1.Secret) { s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}} }), ""},
	} {
		t.Run(name, func(t *testing.T) { expectFinding(t, touched([]version{test.found}, []string{"a/theirs"}), test.says) })
	}
}

func TestStatusesMayNotClaimWhatIsNotSo(t *testing.T) {
	ready := func(after, obtained, expires time.Duration) version {
		return aliceToken(after, func(token *v1alpha1.PipesToken) {
			token.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ReadyCondition, Status: metav1.ConditionTrue}}
			token.Status.LastRefreshTime, token.Status.ExpirationTime = ptr.To(metav1.NewTime(at(obtained))), ptr.To(metav1.NewTime(at(expires)))
		})
	}
	first := aliceHas(time.Second, 1, 4*time.Minute)
	for name, test := range map[string]struct {
		versions []version
		says     string
	}{
		"after the Secret":             {[]version{first, ready(2*time.Second, time.Second, 4*time.Minute)}, ""},
		"before the Secret":            {[]version{ready(time.Second/2, time.Second, 4*time.Minute), first}, "was not in its Secret"},
		"of another token":             {[]version{first, ready(2*time.Second, time.Second, 6*time.Minute)}, "was not in its Secret"},
		"without a Secret":             {[]version{ready(2*time.Second, time.Second, 4*time.Minute)}, "was not in its Secret"},
		"long after the expiry":        {[]version{first, ready(6*time.Minute, time.Second, 4*time.Minute)}, "was not in its Secret"},
		"when it has just been taken":  {[]version{first, {at: at(time.Minute), kind: secretKind, name: "a/alice"}, ready(70*time.Second, time.Second, 4*time.Minute)}, ""},
		"when it has long been taken":  {[]version{first, {at: at(time.Minute), kind: secretKind, name: "a/alice"}, ready(3*time.Minute, time.Second, 4*time.Minute)}, "was not in its Secret"},
		"written for another occasion": {[]version{first, ready(2*time.Second, time.Second, 4*time.Minute), ready(6*time.Minute, time.Second, 4*time.Minute)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			all := append([]version{aliceToken(0, nil)}, test.versions...)
			held, wrong := holdings(all, []workossim.Request{answered(0, 1)}, at(10*time.Minute))
			expectFinding(t, append(wrong, unfounded(all, held)...), test.says)
		})
	}
}

// TestWhenAnExpiredTokenIsTheOperatorsFault uses a token that is obtained at noon and lives for
// four minutes. The operator asks for the next token from 12:02:00 on, or from 12:02:24 on at the
// latest.
func TestWhenAnExpiredTokenIsTheOperatorsFault(t *testing.T) {
	onlyAfterExpiry, early := alice, alice
	onlyAfterExpiry.AlwaysFresh = false
	early.AlwaysFresh, early.RefreshLead = false, time.Minute
	between := func(from, to time.Duration) trouble { return trouble{from: at(from), to: at(to)} }
	for name, test := range map[string]struct {
		connection workossim.Connection
		until      time.Duration
		befell     []trouble
		late       time.Duration
	}{
		"replaced in time":                            {alice, 3 * time.Minute, nil, 0},
		"replaced late, without any trouble":          {alice, 4*time.Minute + 11*time.Second, nil, 10 * time.Second},
		"trouble all the time":                        {alice, 5 * time.Minute, []trouble{between(time.Minute, 6*time.Minute)}, 0},
		"trouble until shortly before":                {alice, 4*time.Minute + 10*time.Second, []trouble{between(time.Minute, 3*time.Minute+50*time.Second)}, 0},
		"trouble that ended long before":              {alice, 4*time.Minute + 11*time.Second, []trouble{between(2*time.Minute, 3*time.Minute)}, 10 * time.Second},
		"trouble from before it asks until it has to": {alice, 4*time.Minute + 11*time.Second, []trouble{between(time.Minute, 2*time.Minute+30*time.Second)}, 10 * time.Second},
		"the same, until half a minute before":        {alice, 4*time.Minute + 19*time.Second, []trouble{between(time.Minute, 3*time.Minute+30*time.Second)}, 0},
		"trouble that began late":                     {alice, 5 * time.Minute, []trouble{between(3*time.Minute, 6*time.Minute)}, 59 * time.Second},
		"trouble that is over before it asks":         {alice, 4*time.Minute + 11*time.Second, []trouble{between(0, 2*time.Minute)}, 10 * time.Second},
		"nothing newer before the expiry":             {onlyAfterExpiry, 4*time.Minute + 10*time.Second, nil, 0},
		"nothing newer, and late all the same":        {onlyAfterExpiry, 4*time.Minute + 31*time.Second, nil, 10 * time.Second},
		"something newer a minute before":             {early, 4*time.Minute + 11*time.Second, nil, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			h := &holding{obtained: noon, expires: at(4 * time.Minute), from: noon, until: at(test.until)}
			if late, _ := preventable(h, test.connection, test.befell); late != test.late {
				t.Errorf("got %s, want %s", late, test.late)
			}
		})
	}
}

func TestHowManyCallsThereMayBe(t *testing.T) {
	lease := func(after time.Duration, holder string) version {
		return version{at: at(after), kind: leaseKind, name: "a/storm", lease: &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder}}}
	}
	calls := func(n int, from, every time.Duration) (all []workossim.Request) {
		for i := range n {
			all = append(all, workossim.Request{Time: at(from + time.Duration(i)*every)})
		}
		return all
	}
	one, two := []version{lease(0, "x")}, []version{lease(0, "x"), lease(90*time.Second, "y")}
	held := []trouble{{from: at(30 * time.Second), to: at(40 * time.Second), wire: true}}
	for name, test := range map[string]struct {
		calls    []workossim.Request
		versions []version
		held     []trouble
		excess   bool
	}{
		"as many as there may be":     {calls(100, 0, time.Second), one, nil, false},
		"one too many":                {calls(61, 0, 980*time.Millisecond), one, nil, true},
		"twice as many at a failover": {calls(120, time.Minute, 500*time.Millisecond), two, nil, false},
		"three times as many":         {calls(180, time.Minute, 333*time.Millisecond), two, nil, true},
		"held back by the wire":       {calls(75, 0, 800*time.Millisecond), one, held, false},
		"too many all the same":       {calls(80, 0, 700*time.Millisecond), one, held, true},
	} {
		t.Run(name, func(t *testing.T) {
			excess := false
			for _, b := range bursts(test.calls, 60, reigns(test.versions, "a/storm", at(time.Hour)), test.held) {
				excess = excess || b.calls > b.allowed
			}
			if excess != test.excess {
				t.Errorf("got %t, want %t", excess, test.excess)
			}
		})
	}
}

func TestLeaksAreFound(t *testing.T) {
	for text, want := range map[string]bool{
		"nothing here":                 false,
		aTokenOfNobody:                 true,
		fmt.Sprintf("%x", apiKey):      true,
		"eA" + "Y2FuYXJ5XzE":           true, // canary_1 in base64
		"eGNhbmFyeV8x":                 true, // the same after one byte
		"eHhjYW5hcnlfMQ==":             true, // and after two
		strings.ToUpper("a canar y"):   false,
		"cana" + "\n" + "ry":           false,
		workossim.Fingerprint(apiKey):  false,
		string(types.UID("can-ary-1")): false,
	} {
		if got := canary.Find(text) != ""; got != want {
			t.Errorf("%q: got %t, want %t", text, got, want)
		}
	}
}

// expectFinding expects one finding that contains says, or no finding if says is empty.
func expectFinding(t *testing.T, found []string, says string) {
	t.Helper()
	if says == "" && len(found) == 0 || says != "" && len(found) == 1 && strings.Contains(found[0], says) {
		return
	}
	t.Errorf("got %q, want %q", found, says)
}
