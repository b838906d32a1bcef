package tokensecret

import (
	"maps"
	"reflect"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPackLosesNothing(t *testing.T) {
	ours := map[string]string{"app.kubernetes.io/managed-by": "pipes-operator", "pipes.workos.com/token": "github"}
	facts := Facts{TemplateHash: "a", TokenHash: "b", Scopes: []string{"repo", "user"}}.annotations()
	more := maps.Clone(facts)
	more["reloader.stakater.com/match"], more["empty"], more["0"], more["lines"] = "true", "", "zero", "one\n\ttwo é"
	for name, test := range map[string]struct {
		labels, annotations map[string]string
		packs               bool
	}{
		"as we write it":         {ours, facts, true},
		"more than we write":     {map[string]string{"team": "a"}, more, true},
		"without a token":        {ours, nil, true},
		"nothing":                {nil, nil, true},
		"no labels":              {nil, facts, true},
		"a mark in a value":      {ours, map[string]string{"a": "\x00"}, false},
		"a separator in a value": {ours, map[string]string{"a": "b\x01c"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			whole := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
				Name: "github", UID: "u", ResourceVersion: "7", Labels: test.labels, Annotations: test.annotations,
			}}
			packed := whole.DeepCopy()
			Pack(packed)
			if isPacked := packed.GenerateName != "" && packed.Labels == nil && packed.Annotations == nil; isPacked != test.packs {
				t.Errorf("packed: %t", isPacked)
			}
			if got := unpacked(packed); !reflect.DeepEqual(got, whole) {
				t.Errorf("unpacked %+v", got)
			}
			again := packed.DeepCopy()
			Pack(again)
			if !reflect.DeepEqual(again, packed) {
				t.Errorf("packed once more %+v", again)
			}
		})
	}
}

// A Secret that somebody has let the API server name keeps the name that it was made of.
func TestPackKeepsAGeneratedName(t *testing.T) {
	whole := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{GenerateName: "github-", Labels: map[string]string{"a": "b"}}}
	packed := whole.DeepCopy()
	Pack(packed)
	if !reflect.DeepEqual(packed, whole) || unpacked(packed) != packed {
		t.Errorf("packed %+v", packed)
	}
}

// FuzzPack: whatever labels and annotations say, they come back as they were.
func FuzzPack(f *testing.F) {
	f.Add("pipes.workos.com/token", "github", "pipes.workos.com/expires-at", "never")
	f.Add("\x02", "\x01", "", "\x00")
	f.Fuzz(func(t *testing.T, label, labelled, annotation, annotated string) {
		meta := &metav1.PartialObjectMetadata{}
		meta.Labels, meta.Annotations = map[string]string{label: labelled}, map[string]string{annotation: annotated}
		packed := meta.DeepCopy()
		Pack(packed)
		if got := unpacked(packed); !reflect.DeepEqual(got, meta) {
			t.Errorf("%+v became %+v", meta.ObjectMeta, got.ObjectMeta)
		}
	})
}
