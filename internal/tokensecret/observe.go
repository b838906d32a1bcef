package tokensecret

import (
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// FieldManager is the name under which the operator writes. The API server notes it beside each field that it wrote.
const FieldManager = "pipes-operator"

// State is whose a Secret is, and whether it is as the operator left it.
type State string

// The states of a Secret, seen from one PipesToken.
const (
	// Absent: there is no such Secret, as far as is known.
	Absent State = "Absent"
	// Foreign: it belongs to somebody else and is never touched.
	Foreign State = "Foreign"
	// Orphaned: it carries our labels for this PipesToken's name and no controller, as "kubectl delete --cascade=orphan"
	// leaves it. It may be taken over.
	Orphaned State = "Orphaned"
	// Empty: it is ours and holds no token.
	Empty State = "Empty"
	// Altered: it is ours, and somebody has changed its data or our annotations since we wrote it.
	Altered State = "Altered"
	// Intact: it is ours and holds the token that its annotations speak of.
	Intact State = "Intact"
)

// Secret is what is known of the Secret of one PipesToken, from its metadata alone.
type Secret struct {
	State State
	// Facts are those of the token in it, when Intact.
	Facts Facts
	// Meta is the metadata that this was read from, unpacked; nil when Absent.
	Meta *metav1.PartialObjectMetadata
}

// Observe reads the metadata of the Secret that token writes, packed or not. meta nil means that there is none. template is the token's, or
// nil when it cannot be compiled: which keys ought to be there is then not checked.
func Observe(meta *metav1.PartialObjectMetadata, token *v1alpha1.PipesToken, template *Template) Secret {
	if meta == nil {
		return Secret{State: Absent}
	}
	meta = unpacked(meta)
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

// IsOurs says whether the PipesToken controls the Secret.
func (s Secret) IsOurs() bool {
	return s.State == Empty || s.State == Altered || s.State == Intact
}

// HoldsValidToken says whether the Secret holds a token, as we wrote it, that has not expired at now.
func (s Secret) HoldsValidToken(now time.Time) bool {
	return s.State == Intact && (s.Facts.ExpiresAt.IsZero() || s.Facts.ExpiresAt.After(now))
}

// MayHoldToken says whether a token of the PipesToken may be in the Secret, as far as its metadata
// tells: it is ours and not cleared; or it is somebody else's by now and has our annotations.
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

// hasData says whether anybody owns a key of the data other than those that a cleared Secret keeps.
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

// asWritten tells from who owns which field whether data and annotations are as we wrote them. Whoever changes or removes a
// key takes its ownership from us, or removes it; whoever adds one owns it.
func asWritten(meta *metav1.PartialObjectMetadata, facts Facts, template *Template) bool {
	ours, others := ownership(meta.ManagedFields)
	for _, key := range factAnnotations {
		if !ours.Metadata.Annotations.has(key) {
			return false
		}
	}
	for _, key := range adviceAnnotations {
		if _, there := meta.Annotations[key]; there && !ours.Metadata.Annotations.has(key) {
			return false
		}
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

// self stands in a field set for the map itself, beside its keys.
const self = "."

// fieldSet is the part of a managedFields entry that we look at: https://kubernetes.io/docs/reference/using-api/server-side-apply/
// tells the format, in which each key of a map has "f:" before it.
type fieldSet struct {
	Data     keySet `json:"f:data"`
	Metadata struct {
		Annotations keySet `json:"f:annotations"`
		Labels      keySet `json:"f:labels"`
	} `json:"f:metadata"`
}

// keySet holds the keys of one map, without the "f:".
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

// ownership sums up which fields we own and which anybody else does. An entry that cannot be read owns nothing, so that a
// Secret whose entries are broken counts as altered and is written anew. Nobody may change what it returns.
func ownership(entries []metav1.ManagedFieldsEntry) (ours, others fieldSet) {
	if len(entries) == 1 {
		if known, ok := trimmed.fieldsOf(entries[0]); ok {
			return known, fieldSet{}
		}
	}
	for _, entry := range entries {
		var fields fieldSet
		if entry.FieldsV1 == nil || json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		if entry.Manager == FieldManager {
			ours.add(fields)
		} else {
			others.add(fields)
		}
	}
	return ours, others
}
