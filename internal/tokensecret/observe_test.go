package tokensecret_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// expectState changes a Secret that the operator has written, and checks its state after that.
func expectState(t *testing.T, want tokensecret.State, changes map[string]func(*cluster)) {
	t.Helper()
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			given := content(t, defaults(t), simple())
			there := written(alice(), given)
			change(there)
			seen := there.observed(alice(), defaults(t))
			if seen.State != want {
				t.Errorf("got %s, want %s", seen.State, want)
			}
			facts := tokensecret.Facts{}
			if want == tokensecret.Intact {
				facts = given.Facts
			}
			if !reflect.DeepEqual(seen.Facts, facts) {
				t.Errorf("got the facts %+v, want %+v", seen.Facts, facts)
			}
			if seen.Meta != there.meta {
				t.Error("the metadata got lost")
			}
		})
	}
}

func TestAbsent(t *testing.T) {
	seen := tokensecret.Observe(nil, alice(), defaults(t))
	if seen.State != tokensecret.Absent || seen.IsOurs() || seen.HoldsValidToken(expiry.Add(-time.Hour)) {
		t.Errorf("got %+v", seen)
	}
}

func TestIntactWhateverOthersDoToTheRestOfIt(t *testing.T) {
	expectState(t, tokensecret.Intact, map[string]func(*cluster){
		"as written":              func(*cluster) {},
		"a foreign label":         func(c *cluster) { c.label("example.com/team", "ai") },
		"a foreign annotation":    func(c *cluster) { c.annotate("example.com/note", "x") },
		"a look-alike annotation": func(c *cluster) { c.annotate("pipes.workos.com/expires-at-2", "x") },
		"our label changed":       func(c *cluster) { c.label(v1alpha1.TokenLabel, "other") },
		"our label removed":       func(c *cluster) { c.label(v1alpha1.ManagedByLabel, "") },
		"a finalizer":             func(c *cluster) { c.meta.Finalizers = []string{"example.com/keep"} },
		"a second owner": func(c *cluster) {
			c.meta.OwnerReferences = append(c.meta.OwnerReferences, metav1.OwnerReference{UID: "x"})
		},
		"a manager of nothing":        func(c *cluster) { c.entries = append(c.entries, entry{manager: "x", raw: "{}"}) },
		"a manager that owns the map": func(c *cluster) { c.entries = append(c.entries, entry{manager: "x", raw: `{"f:data":{".":{}}}`}) },
		"a manager that owns the map, and we do not": func(c *cluster) {
			c.entries[0].raw = strings.ReplaceAll(string(c.entries[0].managed().FieldsV1.GetRawBytes()), `".":{},`, "")
			c.entries = append(c.entries, entry{manager: "x", raw: `{"f:data":{".":{}}}`})
		},
		"unknown parts of a field set": func(c *cluster) {
			c.entries = append(c.entries, entry{manager: "x", raw: `{"f:new":{"f:data":{"f:x":{}}},"f:metadata":{"f:new":[1]}}`})
		},
		"somebody applied the same data, and so owns it with us": func(c *cluster) {
			c.entries = append(c.entries, entry{manager: "argocd", apply: true, data: []string{"access_token"}})
		},
		"somebody applied the same annotation": func(c *cluster) {
			c.entries = append(c.entries, entry{manager: "argocd", apply: true, annotations: []string{tokensecret.ExpiresAtAnnotation}})
		},
		"our fields in two entries": func(c *cluster) {
			ours := c.entries[0]
			c.entries = []entry{{manager: ours.manager, data: ours.data, apply: true}, {manager: ours.manager, annotations: ours.annotations}}
		},
		"a broken entry of somebody else": func(c *cluster) { c.entries = append(c.entries, entry{manager: "x", raw: `{"f:data":[]}`}) },
	})
}

func TestAlteredByWhoeverTouchesTheDataOrTheFacts(t *testing.T) {
	changes := map[string]func(*cluster){
		"a value edited":       func(c *cluster) { c.take("kubectl-edit", dataOf, "access_token") },
		"another value edited": func(c *cluster) { c.take("kubectl-edit", dataOf, "scopes") },
		"all values edited":    func(c *cluster) { c.take("kubectl-edit", dataOf, "access_token", "expires_at", "scopes") },
		"a key removed":        func(c *cluster) { c.disown(dataOf, "access_token") },
		"a lesser key removed": func(c *cluster) { c.disown(dataOf, "expires_at") },
		"all keys removed":     func(c *cluster) { c.disown(dataOf, "access_token", "expires_at", "scopes") },
		"a key added":          func(c *cluster) { c.take("kubectl-edit", dataOf, "extra") },
		"a key applied": func(c *cluster) {
			c.entries = append(c.entries, entry{manager: "argocd", apply: true, data: []string{"extra"}})
		},
		"a value applied by force": func(c *cluster) {
			c.disown(dataOf, "access_token")
			c.entries = append(c.entries, entry{manager: "argocd", apply: true, data: []string{"access_token"}})
		},
		"a manager with a similar name": func(c *cluster) { c.take("Pipes-Operator", dataOf, "access_token") },
		"a manager with a longer name":  func(c *cluster) { c.take("pipes-operator-2", dataOf, "access_token") },
		"our entry removed":             func(c *cluster) { c.entries = []entry{} },
		"managedFields removed":         func(c *cluster) { c.entries, c.meta.ManagedFields = nil, nil },
		"our entry without a field set": func(c *cluster) {
			c.entries, c.meta.ManagedFields = nil, []metav1.ManagedFieldsEntry{{Manager: tokensecret.FieldManager}}
		},
		"our entry is no JSON": func(c *cluster) { c.entries[0].raw = "{" },
		"our entry is a list":  func(c *cluster) { c.entries[0].raw = "[]" },
		"our entry is empty":   func(c *cluster) { c.entries[0].raw = "{}" },
		"our entry is null":    func(c *cluster) { c.entries[0].raw = "null" },
		"our data is a list":   func(c *cluster) { c.entries[0].raw = `{"f:data":["access_token"]}` },
		"our data is null":     func(c *cluster) { c.entries[0].raw = `{"f:data":null,"f:metadata":null}` },
		"our entry has keys without f:": func(c *cluster) {
			c.entries[0].raw = strings.ReplaceAll(string(c.entries[0].managed().FieldsV1.GetRawBytes()), "f:access_token", "access_token")
		},
		"all facts removed, but no data": removeFacts,
		"all facts but one removed":      func(c *cluster) { removeFacts(c); c.annotate(tokensecret.ScopesAnnotation, "[]") },
	}
	for _, key := range []string{
		tokensecret.ExpiresAtAnnotation, tokensecret.ObtainedAtAnnotation, tokensecret.TemplateHashAnnotation,
		tokensecret.TokenHashAnnotation, tokensecret.ScopesAnnotation, tokensecret.MissingScopesAnnotation,
	} {
		changes[key+" removed"] = func(c *cluster) { c.annotate(key, "") }
		changes[key+" written by somebody else"] = func(c *cluster) { c.annotate(key, c.meta.Annotations[key]) }
		// A write under the name of our field manager looks like our own. Its values must be
		// valid all the same.
		changes[key+" empty"] = func(c *cluster) { c.meta.Annotations[key] = "" }
	}
	for key, value := range map[string]string{
		tokensecret.ExpiresAtAnnotation: "tomorrow", tokensecret.ObtainedAtAnnotation: "never",
		tokensecret.ScopesAnnotation: "repo", tokensecret.MissingScopesAnnotation: `{"a":"b"}`, tokensecret.UpstreamLeadAnnotation: "-1s",
	} {
		changes[key+" is "+value] = func(c *cluster) { c.meta.Annotations[key] = value }
	}
	changes["expiry put off"] = func(c *cluster) { c.annotate(tokensecret.ExpiresAtAnnotation, "2036-11-23T14:00:00Z") }
	expectState(t, tokensecret.Altered, changes)
}

func removeFacts(c *cluster) {
	for _, key := range []string{
		tokensecret.ExpiresAtAnnotation, tokensecret.ObtainedAtAnnotation, tokensecret.TemplateHashAnnotation,
		tokensecret.TokenHashAnnotation, tokensecret.ScopesAnnotation, tokensecret.MissingScopesAnnotation,
		tokensecret.UpstreamLeadAnnotation,
	} {
		c.annotate(key, "")
	}
}

// A Secret from a version that did not know the lead still holds its token.
func TestIntactWithoutTheLead(t *testing.T) {
	expectState(t, tokensecret.Intact, map[string]func(*cluster){
		"never written": func(c *cluster) { c.annotate(tokensecret.UpstreamLeadAnnotation, "") },
	})
	expectState(t, tokensecret.Altered, map[string]func(*cluster){
		"written by somebody else": func(c *cluster) { c.annotate(tokensecret.UpstreamLeadAnnotation, "10s") },
	})
}

func TestEmptyOnceTheTokenIsGone(t *testing.T) {
	expectState(t, tokensecret.Empty, map[string]func(*cluster){
		"cleared": func(c *cluster) {
			removeFacts(c)
			c.disown(dataOf, "access_token", "expires_at", "scopes")
		},
		"cleared, annotations gone too": func(c *cluster) {
			c.meta.Annotations = nil
			c.entries[0].raw = `{"f:metadata":{"f:labels":{"f:a":{}}},"f:type":{}}`
		},
		"cleared, without managedFields": func(c *cluster) {
			c.meta.Annotations = nil
			c.entries, c.meta.ManagedFields = nil, nil
		},
		"cleared, with foreign metadata": func(c *cluster) {
			removeFacts(c)
			c.disown(dataOf, "access_token", "expires_at", "scopes")
			c.label("example.com/team", "ai")
			c.annotate("example.com/note", "x")
		},
	})
}

// The placeholder that ClearPatch leaves in a typed Secret is not a token. The same key in a
// Secret of another type may hold one.
func TestEmptyKnowsThePlaceholderOfItsType(t *testing.T) {
	for name, test := range map[string]struct {
		secretType v1alpha1.SecretType
		key        string
		want       tokensecret.State
	}{
		"docker config":                     {v1alpha1.SecretTypeDockerConfigJSON, ".dockerconfigjson", tokensecret.Empty},
		"password":                          {v1alpha1.SecretTypeBasicAuth, "password", tokensecret.Empty},
		"a username beside it":              {v1alpha1.SecretTypeBasicAuth, "username", tokensecret.Altered},
		"docker config in basic-auth":       {v1alpha1.SecretTypeBasicAuth, ".dockerconfigjson", tokensecret.Altered},
		"password in a docker config":       {v1alpha1.SecretTypeDockerConfigJSON, "password", tokensecret.Altered},
		"password in an Opaque Secret":      {v1alpha1.SecretTypeOpaque, "password", tokensecret.Altered},
		"docker config in an Opaque Secret": {"", ".dockerconfigjson", tokensecret.Altered},
	} {
		t.Run(name, func(t *testing.T) {
			token := alice(withTemplate(v1alpha1.SecretTemplate{Type: test.secretType}))
			there := written(token, content(t, defaults(t), simple()))
			removeFacts(there)
			there.entries[0].data = []string{test.key}
			if got := there.observed(token, defaults(t)).State; got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestForeignUnlessWeControlIt(t *testing.T) {
	expectState(t, tokensecret.Foreign, map[string]func(*cluster){
		"no owner, no labels": func(c *cluster) { c.meta.OwnerReferences, c.meta.Labels = nil, nil },
		"another controller":  func(c *cluster) { c.meta.OwnerReferences[0].UID = "uid-bob" },
		"a PipesToken of that name that is gone": func(c *cluster) {
			c.meta.OwnerReferences[0].UID = "uid-alice-before"
		},
		"our UID, but not as the controller": func(c *cluster) {
			c.meta.OwnerReferences[0].Controller, c.meta.Labels = ptr.To(false), nil
		},
		"another controller, we a mere owner": func(c *cluster) {
			c.meta.OwnerReferences[0].Controller = nil
			c.meta.OwnerReferences = append(c.meta.OwnerReferences, metav1.OwnerReference{UID: "x", Controller: ptr.To(true)})
		},
		"orphaned, of another PipesToken": func(c *cluster) {
			c.meta.OwnerReferences = nil
			c.meta.Labels[v1alpha1.TokenLabel] = "github-bob"
		},
		"orphaned, managed by somebody else": func(c *cluster) {
			c.meta.OwnerReferences = nil
			c.meta.Labels[v1alpha1.ManagedByLabel] = "Helm"
		},
		"orphaned, without the managed-by label": func(c *cluster) {
			c.meta.OwnerReferences = nil
			delete(c.meta.Labels, v1alpha1.ManagedByLabel)
		},
		"orphaned, without our label": func(c *cluster) {
			c.meta.OwnerReferences = nil
			delete(c.meta.Labels, v1alpha1.TokenLabel)
		},
	})
}

func TestOrphanedWithOurLabelsAndNoController(t *testing.T) {
	expectState(t, tokensecret.Orphaned, map[string]func(*cluster){
		"no owner":      func(c *cluster) { c.meta.OwnerReferences = nil },
		"a mere owner":  func(c *cluster) { c.meta.OwnerReferences[0].Controller = nil },
		"another owner": func(c *cluster) { c.meta.OwnerReferences = []metav1.OwnerReference{{UID: "x"}} },
		"and cleared": func(c *cluster) {
			c.meta.OwnerReferences = nil
			removeFacts(c)
		},
	})
}

// A hash replaces a name that is too long for a label value.
func TestOrphanedWithALongName(t *testing.T) {
	long := strings.Repeat("a", 64)
	named := func(name string) *v1alpha1.PipesToken {
		return alice(func(t *v1alpha1.PipesToken) { t.Name = name })
	}
	there := written(named(long), content(t, defaults(t), simple()))
	there.meta.OwnerReferences = nil
	if label := there.meta.Labels[v1alpha1.TokenLabel]; len(label) > 63 || strings.Contains(long, label) {
		t.Errorf("got the label %q", label)
	}
	if got := there.observed(named(long), defaults(t)).State; got != tokensecret.Orphaned {
		t.Errorf("got %s, want Orphaned", got)
	}
	if got := there.observed(named(long+"a"), defaults(t)).State; got != tokensecret.Foreign {
		t.Errorf("of another long name: got %s, want Foreign", got)
	}
	if got := written(named(long[1:]), tokensecret.Content{}).meta.Labels[v1alpha1.TokenLabel]; got != long[1:] {
		t.Errorf("63 characters fit; got %q", got)
	}
}

func TestKeysAreThoseOfTheTemplateThatWroteThem(t *testing.T) {
	old, current := compile(t, map[string]string{"old": "{{ .AccessToken }}"}), compile(t, map[string]string{"new": "{{ .AccessToken }}"})
	there := written(alice(), content(t, old, simple()))
	for name, template := range map[string]*tokensecret.Template{"the same": old, "another": current, "one that cannot be compiled": nil} {
		if got := there.observed(alice(), template).State; got != tokensecret.Intact {
			t.Errorf("%s: got %s, want Intact", name, got)
		}
	}
	there.take("kubectl", dataOf, "old")
	for name, template := range map[string]*tokensecret.Template{"the same": old, "another": current, "one that cannot be compiled": nil} {
		if got := there.observed(alice(), template).State; got != tokensecret.Altered {
			t.Errorf("edited, %s: got %s, want Altered", name, got)
		}
	}
}

func TestExpiryKeyIsOnlyThereWithAnExpiry(t *testing.T) {
	forever := simple()
	forever.ExpiresAt = time.Time{}
	there := written(alice(), content(t, defaults(t), forever))
	if got := there.observed(alice(), defaults(t)).State; got != tokensecret.Intact {
		t.Errorf("got %s, want Intact", got)
	}
	there.take("kubectl", dataOf, "expires_at")
	if got := there.observed(alice(), defaults(t)).State; got != tokensecret.Altered {
		t.Errorf("with a key that somebody added: got %s, want Altered", got)
	}
}

func TestIsOursAndHoldsValidToken(t *testing.T) {
	expiring, forever := tokensecret.Facts{ExpiresAt: expiry}, tokensecret.Facts{}
	for name, test := range map[string]struct {
		secret      tokensecret.Secret
		ours, valid bool
	}{
		"absent":    {tokensecret.Secret{State: tokensecret.Absent}, false, false},
		"foreign":   {tokensecret.Secret{State: tokensecret.Foreign, Facts: expiring}, false, false},
		"orphaned":  {tokensecret.Secret{State: tokensecret.Orphaned, Facts: expiring}, false, false},
		"empty":     {tokensecret.Secret{State: tokensecret.Empty}, true, false},
		"altered":   {tokensecret.Secret{State: tokensecret.Altered, Facts: expiring}, true, false},
		"intact":    {tokensecret.Secret{State: tokensecret.Intact, Facts: expiring}, true, true},
		"no expiry": {tokensecret.Secret{State: tokensecret.Intact, Facts: forever}, true, true},
		"nothing":   {tokensecret.Secret{}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.secret.IsOurs(); got != test.ours {
				t.Errorf("ours: got %v", got)
			}
			if got := test.secret.HoldsValidToken(expiry.Add(-time.Nanosecond)); got != test.valid {
				t.Errorf("valid: got %v", got)
			}
			if got, want := test.secret.HoldsValidToken(expiry), test.valid && test.secret.Facts.ExpiresAt.IsZero(); got != want {
				t.Errorf("valid at the instant of expiry: got %v, want %v", got, want)
			}
		})
	}
}
