package tokensecret_test

import (
	"reflect"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

func TestFactsComeBackFromTheSecretAsTheyWereWritten(t *testing.T) {
	full := tokensecret.Facts{
		ExpiresAt: expiry, ObtainedAt: expiry.Add(-time.Hour), TemplateHash: defaults(t).Hash(), TokenHash: "abc",
		Scopes: []string{"repo", "user:email"}, MissingScopes: []string{"gist"},
	}
	for name, test := range map[string]struct {
		change func(*tokensecret.Facts)
		want   func(*tokensecret.Facts) // nil: as written
	}{
		"all":       {func(*tokensecret.Facts) {}, nil},
		"no expiry": {func(f *tokensecret.Facts) { f.ExpiresAt = time.Time{} }, nil},
		"no scopes": {func(f *tokensecret.Facts) { f.Scopes, f.MissingScopes = nil, nil }, nil},
		"lists without items": {func(f *tokensecret.Facts) { f.Scopes, f.MissingScopes = []string{}, []string{} },
			func(f *tokensecret.Facts) { f.Scopes, f.MissingScopes = nil, nil }},
		"scopes with odd characters": {func(f *tokensecret.Facts) {
			f.Scopes = []string{"", " ", `"`, ",", "<>&", "ü", "https://www.googleapis.com/auth/drive", "\u2028"}
		}, nil},
		"fractions of a second": {func(f *tokensecret.Facts) {
			f.ExpiresAt, f.ObtainedAt = f.ExpiresAt.Add(time.Second-1), f.ObtainedAt.Add(time.Millisecond)
		}, func(f *tokensecret.Facts) { f.ExpiresAt = f.ExpiresAt.Add(time.Second - 1) }},
		"a lead that was known":     {func(f *tokensecret.Facts) { f.UpstreamLead = ptr.To(59900 * time.Millisecond) }, nil},
		"no lead at all":            {func(f *tokensecret.Facts) { f.UpstreamLead = ptr.To(time.Duration(0)) }, nil},
		"another time zone":         {func(f *tokensecret.Facts) { f.ExpiresAt = f.ExpiresAt.In(time.FixedZone("", -7*3600)) }, func(*tokensecret.Facts) {}},
		"an expiry that has passed": {func(f *tokensecret.Facts) { f.ExpiresAt = time.Unix(1, 0).UTC() }, nil},
		"a far expiry":              {func(f *tokensecret.Facts) { f.ExpiresAt = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			facts := full
			test.change(&facts)
			want := facts
			if test.want != nil {
				want = full
				test.want(&want)
			}
			written := written(alice(), tokensecret.Content{Facts: facts, Data: map[string][]byte{"access_token": nil, "expires_at": nil, "scopes": nil}})
			seen := written.observed(alice(), defaults(t))
			if seen.State != tokensecret.Intact || !reflect.DeepEqual(seen.Facts, want) {
				t.Errorf("got %s with %+v, want %+v", seen.State, seen.Facts, want)
			}
		})
	}
}

func TestHashTokenTellsTokensApartAndNothingElse(t *testing.T) {
	hash := func(uid, token string) string { return tokensecret.HashToken(uid, redact.NewString(token)) }
	if first, again := hash("uid", canary), hash("uid", canary); first != again {
		t.Error("the hash of one token changed")
	}
	seen := map[string]string{}
	for name, hash := range map[string]string{
		"token":              hash("uid", canary),
		"one letter more":    hash("uid", canary+"x"),
		"another case":       hash("uid", "GHO_"+canary[4:]),
		"empty":              hash("uid", ""),
		"another object":     hash("uid2", canary),
		"cut elsewhere":      hash("uid"+canary[:1], canary[1:]),
		"token as the UID":   hash(canary, "uid"),
		"without an object":  hash("", canary),
		"everything as UID":  hash("uid"+canary, ""),
		"everything as both": hash("", "uid"+canary),
	} {
		if other, taken := seen[hash]; taken {
			t.Errorf("%q and %q have the same hash", name, other)
		}
		seen[hash] = name
		if len(hash) != 32 {
			t.Errorf("%s: the hash %q is not cut to 16 bytes in hex", name, hash)
		}
		expectNoToken(t, hash, canary)
	}
}

func TestSameToken(t *testing.T) {
	facts := tokensecret.Facts{
		ExpiresAt: expiry, ObtainedAt: expiry.Add(-time.Hour), TemplateHash: "template", TokenHash: "token",
		Scopes: []string{"a", "b"}, MissingScopes: []string{"c"},
	}
	for name, test := range map[string]struct {
		change func(*tokensecret.Facts)
		same   bool
	}{
		"all the same":        {func(*tokensecret.Facts) {}, true},
		"obtained again":      {func(f *tokensecret.Facts) { f.ObtainedAt = expiry }, true},
		"another template":    {func(f *tokensecret.Facts) { f.TemplateHash = "other" }, true},
		"another time zone":   {func(f *tokensecret.Facts) { f.ExpiresAt = f.ExpiresAt.In(time.FixedZone("", 3600)) }, true},
		"another token":       {func(f *tokensecret.Facts) { f.TokenHash = "other" }, false},
		"another expiry":      {func(f *tokensecret.Facts) { f.ExpiresAt = f.ExpiresAt.Add(time.Second) }, false},
		"no expiry":           {func(f *tokensecret.Facts) { f.ExpiresAt = time.Time{} }, false},
		"another scope":       {func(f *tokensecret.Facts) { f.Scopes = []string{"a"} }, false},
		"scopes reordered":    {func(f *tokensecret.Facts) { f.Scopes = []string{"b", "a"} }, true},
		"nothing is missing":  {func(f *tokensecret.Facts) { f.MissingScopes = nil }, false},
		"something else miss": {func(f *tokensecret.Facts) { f.MissingScopes = []string{"d"} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			other := facts
			test.change(&other)
			if facts.SameToken(other) != test.same || other.SameToken(facts) != test.same {
				t.Errorf("want %v, both ways round", test.same)
			}
		})
	}
	if !(tokensecret.Facts{Scopes: []string{}}).SameToken(tokensecret.Facts{}) {
		t.Error("no scopes and an empty list of them differ")
	}
}
