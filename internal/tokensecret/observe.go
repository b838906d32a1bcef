package tokensecret

import (
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/memo"
)

// FieldManager is the field manager of the operator. The API server records it in managedFields
// for each field that the operator wrote.
const FieldManager = "pipes-operator"

// State says who owns a Secret, and whether the Secret is as the operator left it.
type State string

// The states of a Secret, seen from one PipesToken.
const (
	// Absent means that the Secret does not exist, as far as is known.
	Absent State = "Absent"
	// Foreign means that the Secret belongs to somebody else. The operator never touches it.
	Foreign State = "Foreign"
	// Orphaned means that the Secret has our labels for the name of this PipesToken, and no
	// controller. "kubectl delete --cascade=orphan" leaves it like that. The operator may take
	// it over.
	Orphaned State = "Orphaned"
	// Empty means that the Secret is ours and holds no token.
	Empty State = "Empty"
	// Altered means that the Secret is ours, and that somebody has changed its data or our
	// annotations since we wrote it.
	Altered State = "Altered"
	// Intact means that the Secret is ours and holds the token that its annotations describe.
	Intact State = "Intact"
)

// Secret is the state of the Secret of one PipesToken, derived from metadata alone.
type Secret struct {
	State State
	// Facts describe the token in the Secret. They are set only if State is Intact.
	Facts Facts
	// Meta is the metadata that this was derived from, unpacked. It is nil if State is Absent.
	Meta *metav1.PartialObjectMetadata
}

// Observe evaluates the metadata of the Secret that belongs to token. meta may be packed; nil
// means that no Secret exists. template is the template of token, or nil if it does not
// compile. If it is nil, Observe does not check that all keys of the data exist.
func Observe(meta *metav1.PartialObjectMetadata, token *v1alpha1.PipesToken, template *Template) Secret {
	if meta == nil {
		return Secret{State: Absent}
	}
	seen := Secret{Meta: meta}
	switch controller := metav1.GetControllerOfNoCopy(meta); {
	case controller == nil && labelledFor(meta, token):
		seen.State = Orphaned
		return seen
	case controller == nil || controller.UID != token.UID:
		seen.State = Foreign
		return seen
	}
	facts, holds, err := parseFacts(meta.Annotations)
	switch {
	case !holds && !hasData(meta, placeholder(token)):
		seen.State = Empty
	case !holds || err != nil || !asWritten(meta, facts, template):
		seen.State = Altered
	default:
		seen.State, seen.Facts = Intact, facts
	}
	return seen
}

// IsOurs reports whether the PipesToken controls the Secret.
func (s Secret) IsOurs() bool {
	return s.State == Empty || s.State == Altered || s.State == Intact
}

// HoldsValidToken reports whether the Secret holds a token as we wrote it that has not expired
// at now.
func (s Secret) HoldsValidToken(now time.Time) bool {
	return s.State == Intact && (s.Facts.ExpiresAt.IsZero() || s.Facts.ExpiresAt.After(now))
}

// MayHoldToken reports whether a token of the PipesToken may be in the Secret, judged by the
// metadata. A Secret that is ours may hold a token unless it is cleared. A Secret that is not
// ours may hold a token if it has our annotations, and an orphaned Secret also if it has data.
func (s Secret) MayHoldToken(token *v1alpha1.PipesToken) bool {
	switch {
	case s.State == Intact, s.State == Altered:
		return true
	case s.Meta != nil && (s.State == Orphaned || s.State == Foreign):
		_, facts, _ := parseFacts(s.Meta.Annotations)
		return facts || s.State == Orphaned && hasData(s.Meta, placeholder(token))
	default:
		return false
	}
}

func labelledFor(meta *metav1.PartialObjectMetadata, token *v1alpha1.PipesToken) bool {
	return meta.Labels[v1alpha1.ManagedByLabel] == v1alpha1.ManagedByValue &&
		meta.Labels[v1alpha1.TokenLabel] == labelValue(token.Name)
}

// hasData reports whether anybody owns a key of the data, except the keys that a cleared Secret
// keeps.
func hasData(meta *metav1.PartialObjectMetadata, kept map[string][]byte) bool {
	ours, others := ownership(meta.ManagedFields)
	for _, keys := range []keySet{ours.Data, others.Data} {
		for key := range keys {
			if _, keep := kept[key]; key != self && !keep {
				return true
			}
		}
	}
	return false
}

// asWritten reports whether data and annotations are as we wrote them. It derives this from the
// ownership of fields. A writer who changes a key takes over our ownership. A writer who
// removes a key ends our ownership. A writer who adds a key owns it.
func asWritten(meta *metav1.PartialObjectMetadata, facts Facts, template *Template) bool {
	ours, others := ownership(meta.ManagedFields)
	if !annotationsAsWritten(meta, ours.Metadata.Annotations) {
		return false
	}
	for key := range others.Data {
		if key != self && !ours.Data.has(key) {
			return false
		}
	}
	if template == nil || template.Hash() != facts.TemplateHash {
		return true
	}
	for _, key := range template.Keys(!facts.ExpiresAt.IsZero()) {
		if !ours.Data.has(key) {
			return false
		}
	}
	return true
}

// annotationsAsWritten reports whether we own the annotations that we wrote. Advice that somebody
// has removed is not missed.
func annotationsAsWritten(meta *metav1.PartialObjectMetadata, ours keySet) bool {
	for _, key := range factAnnotations {
		if !ours.has(key) {
			return false
		}
	}
	for _, key := range adviceAnnotations {
		if _, there := meta.Annotations[key]; there && !ours.has(key) {
			return false
		}
	}
	return true
}

// self is the entry of a field set for the map itself, beside the entries for its keys.
const self = "."

// fieldSet is the part of a managedFields entry that the operator reads. Each key of a map has
// the prefix "f:". The format is described at
// https://kubernetes.io/docs/reference/using-api/server-side-apply/.
type fieldSet struct {
	Data     keySet `json:"f:data"`
	Metadata struct {
		Annotations keySet `json:"f:annotations"`
		Labels      keySet `json:"f:labels"`
	} `json:"f:metadata"`
}

// keySet holds the keys of one map, without the prefix "f:".
type keySet map[string]struct{}

func (k keySet) has(key string) bool { _, ok := k[key]; return ok }

func (k *keySet) UnmarshalJSON(text []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	*k = make(keySet, len(raw))
	for key := range raw {
		if key != self {
			key = key[min(len("f:"), len(key)):]
		}
		(*k)[key] = struct{}{}
	}
	return nil
}

func (k *keySet) add(other keySet) {
	if *k == nil {
		*k = keySet{}
	}
	for key := range other {
		(*k)[key] = struct{}{}
	}
}

func (f *fieldSet) add(other fieldSet) {
	f.Data.add(other.Data)
	f.Metadata.Annotations.add(other.Metadata.Annotations)
	f.Metadata.Labels.add(other.Metadata.Labels)
}

// ownership returns the fields that we own and the fields that anybody else owns. An entry that
// cannot be read owns nothing. A Secret with broken entries therefore counts as altered, and is
// written again.
func ownership(entries []metav1.ManagedFieldsEntry) (ours, others fieldSet) {
	if len(entries) == 1 && entries[0].Manager == FieldManager {
		return fieldsOf(entries[0]), fieldSet{}
	}
	for _, entry := range entries {
		fields := fieldsOf(entry)
		if entry.Manager == FieldManager {
			ours.add(fields)
		} else {
			others.add(fields)
		}
	}
	return ours, others
}

// parsed holds field sets by their text. To parse a text takes longer than everything else that
// Observe does with a Secret, and most Secrets have the same text.
var parsed = memo.New[string, fieldSet](1024, 1<<20)

// fieldsOf returns the fields of an entry. Callers must not change them.
func fieldsOf(entry metav1.ManagedFieldsEntry) fieldSet {
	if entry.FieldsV1 == nil {
		return fieldSet{}
	}
	text := entry.FieldsV1.GetRawBytes()
	if entry.Manager != FieldManager || len(text) > longestParsed {
		return parseFields(text)
	}
	return parsed.Of(string(text), 4*len(text), func() fieldSet { return parseFields(text) })
}

// longestParsed is the longest text that parsed holds, in bytes. Anybody who may write Secrets
// decides the length.
const longestParsed = 8 << 10

func parseFields(text []byte) fieldSet {
	var fields fieldSet
	if json.Unmarshal(text, &fields) != nil {
		return fieldSet{}
	}
	return fields
}
