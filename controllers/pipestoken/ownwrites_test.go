package pipestoken

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// The cache is behind our own writes. A reconcile that used only the cache would take the token
// that it has just replaced for the current token, and ask WorkOS again.
func TestTheNewestSecretIsBelieved(t *testing.T) {
	meta := func(version string) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{UID: "secret", ResourceVersion: version}}
	}
	token := &v1alpha1.PipesToken{ObjectMeta: metav1.ObjectMeta{Name: "alice", Namespace: "agents", UID: "token"}}
	recreated := token.DeepCopy()
	recreated.UID = "another"
	for name, test := range map[string]struct {
		cached *metav1.PartialObjectMetadata
		after  time.Duration
		token  *v1alpha1.PipesToken
		events func(*memory)
		want   string
	}{
		"the cache is behind":               {cached: meta("9"), want: "10"},
		"the cache has caught up":           {cached: meta("10"), want: "10"},
		"the cache is ahead":                {cached: meta("11"), want: "11"},
		"the cache has not seen it created": {cached: nil, want: "10"},
		"the cache never saw it":            {cached: nil, after: trustWritten, want: ""},
		"the cache has seen it go":          {events: func(m *memory) { m.secretDeleted(client.ObjectKeyFromObject(token), "secret") }, want: ""},
		"the cache has seen another go":     {events: func(m *memory) { m.secretDeleted(client.ObjectKeyFromObject(token), "older") }, want: "10"},
		"the cache has shown it":            {cached: meta("10"), events: func(m *memory) { m.shown(client.ObjectKeyFromObject(token), meta("10")) }, want: "10"},
		"the cache has shown an older one":  {cached: meta("9"), events: func(m *memory) { m.shown(client.ObjectKeyFromObject(token), meta("9")) }, want: "10"},
		"the PipesToken is gone":            {events: func(m *memory) { m.forget(client.ObjectKeyFromObject(token)) }, want: ""},
		"the PipesToken was created anew":   {token: recreated, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := &memory{}
			m.wrote(token, meta("10"), noon)
			if test.events != nil {
				test.events(m)
			}
			asked := token
			if test.token != nil {
				asked = test.token
			}
			got := newest(m.lastWrite(asked), test.cached, noon.Add(test.after))
			if version := versionOf(got); version != test.want {
				t.Errorf("got resourceVersion %q, want %q", version, test.want)
			}
		})
	}
}

func versionOf(meta *metav1.PartialObjectMetadata) string {
	if meta == nil {
		return ""
	}
	return meta.ResourceVersion
}

func TestADeletedSecretFreesItsNameOnce(t *testing.T) {
	token := &v1alpha1.PipesToken{ObjectMeta: metav1.ObjectMeta{Name: "alice", Namespace: "agents", UID: "token"}}
	m := &memory{}
	m.remember(token, attempt{schedule: schedule{notBefore: noon}})
	m.secretDeleted(types.NamespacedName{Namespace: "agents", Name: "alice"}, "secret")
	m.remember(token, attempt{schedule: schedule{notBefore: noon}}) // by a reconcile that ran during the deletion
	if !m.wasFreed(token) {
		t.Error("the deletion is lost")
	}
	if m.wasFreed(token) {
		t.Error("the deletion is told twice")
	}
}

// The watch event of our own write is no news. Everything else that the cache shows is news.
func TestAnEchoIsOnlyWhatWasWritten(t *testing.T) {
	meta := func(uid types.UID, version string) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{UID: uid, ResourceVersion: version}}
	}
	token := &v1alpha1.PipesToken{ObjectMeta: metav1.ObjectMeta{Name: "alice", Namespace: "agents", UID: "token"}}
	for name, test := range map[string]struct {
		shown      []*metav1.PartialObjectMetadata
		echo, kept bool
	}{
		"the write":                  {shown: []*metav1.PartialObjectMetadata{meta("secret", "10")}, echo: true},
		"the write, once more":       {shown: []*metav1.PartialObjectMetadata{meta("secret", "10"), meta("secret", "10")}},
		"what was there before":      {shown: []*metav1.PartialObjectMetadata{meta("secret", "9")}, kept: true},
		"what somebody wrote after":  {shown: []*metav1.PartialObjectMetadata{meta("secret", "11")}},
		"a Secret of the same name":  {shown: []*metav1.PartialObjectMetadata{meta("another", "10")}, kept: true},
		"an earlier one, then it":    {shown: []*metav1.PartialObjectMetadata{meta("secret", "9"), meta("secret", "10")}, echo: true},
		"that of another PipesToken": {shown: nil, kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := &memory{}
			m.wrote(token, meta("secret", "10"), noon)
			echo := m.shown(types.NamespacedName{Namespace: "agents", Name: "bob"}, meta("secret", "10"))
			for _, shown := range test.shown {
				echo = m.shown(client.ObjectKeyFromObject(token), shown)
			}
			if kept := m.lastWrite(token).meta != nil; echo != test.echo || kept != test.kept {
				t.Errorf("echo %v, kept %v", echo, kept)
			}
		})
	}
}
