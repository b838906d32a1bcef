package tokensecret

import (
	"encoding/json"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Bounds of the table of shared entries. Its content comes from whoever may write Secrets in some
// namespace, so it is bounded in bytes as well as in number.
const (
	// mostShared is how many templates share their entries; with more, some entries exist twice.
	mostShared = 1024
	// mostSharedBytes bounds the text of all entries in the table. What is parsed from it takes about
	// three times as much again.
	mostSharedBytes = 1 << 20
	// longestShared is the longest entry that is shared. Our own are about 1 KiB.
	longestShared = 8 << 10
)

// TrimManagedFields keeps of managedFields what Observe and the patches look at, where the Secret is as we have written it: then it is
// the same for all Secrets with the same keys, and there once. Nobody may change what it returns. What others have written stays
// whole: a patch that takes their fields over gives the rest of it back. So does an entry that is too long to share.
func TrimManagedFields(entries []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	if len(entries) != 1 || entries[0].Manager != FieldManager || entries[0].FieldsV1 == nil ||
		len(entries[0].APIVersion)+len(entries[0].FieldsV1.GetRawBytes()) > longestShared {
		return entries
	}
	whole := wholeOf(entries[0])
	if shared, ok := trimmed.ofWhole(whole); ok {
		return shared
	}
	var fields struct {
		Data     json.RawMessage `json:"f:data,omitempty"`
		Metadata struct {
			Annotations json.RawMessage `json:"f:annotations,omitempty"`
			Labels      json.RawMessage `json:"f:labels,omitempty"`
		} `json:"f:metadata"`
	}
	if json.Unmarshal(entries[0].FieldsV1.GetRawBytes(), &fields) != nil {
		return entries
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return entries
	}
	return trimmed.of(string(text), entries[0], whole)
}

// wholeFields are those of an entry but for the UID of an owner, which alone differs between Secrets that are written alike.
type wholeFields struct {
	operation                 metav1.ManagedFieldsOperationType
	apiVersion, before, after string
}

func wholeOf(entry metav1.ManagedFieldsEntry) wholeFields {
	before, rest, _ := strings.Cut(string(entry.FieldsV1.GetRawBytes()), `"k:{\"uid\":\"`)
	_, after, _ := strings.Cut(rest, `\"}"`)
	return wholeFields{entry.Operation, entry.APIVersion, before, after}
}

// bytes are those that the table holds for the entry.
func (w wholeFields) bytes(text string) int {
	return len(text) + len(w.apiVersion) + len(w.before) + len(w.after)
}

// trimmed are the entries that Secrets share.
var trimmed trimmedEntries

type trimmedEntries struct {
	mu    sync.Mutex
	known map[string]trimmedEntry // by the text of the fields
	whole map[wholeFields][]metav1.ManagedFieldsEntry
	// bytes of the text in both maps.
	bytes int
}

type trimmedEntry struct {
	entries []metav1.ManagedFieldsEntry
	// fields are what the text says. Nobody may change them.
	fields fieldSet
}

// fieldsOf returns what an entry of ours says, if it is one that Secrets share: to read it takes longer than all else that is looked
// at in a Secret.
func (t *trimmedEntries) fieldsOf(entry metav1.ManagedFieldsEntry) (fieldSet, bool) {
	if entry.Manager != FieldManager || entry.FieldsV1 == nil {
		return fieldSet{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.known[string(entry.FieldsV1.GetRawBytes())]
	return known.fields, ok
}

// shares says whether the entries are those of the table, which take no room in a Secret.
func (t *trimmedEntries) shares(entries []metav1.ManagedFieldsEntry) bool {
	if len(entries) != 1 || entries[0].FieldsV1 == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.known[string(entries[0].FieldsV1.GetRawBytes())]
	return ok && &known.entries[0] == &entries[0]
}

// ofWhole returns what there is for an entry that was trimmed before: to do so takes longer than the rest of decoding it.
func (t *trimmedEntries) ofWhole(whole wholeFields) ([]metav1.ManagedFieldsEntry, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	shared, ok := t.whole[whole]
	return shared, ok
}

// of returns what there is for the text, which is that of entry.
func (t *trimmedEntries) of(text string, entry metav1.ManagedFieldsEntry, whole wholeFields) []metav1.ManagedFieldsEntry {
	t.mu.Lock()
	defer t.mu.Unlock()
	shared, ok := t.known[text]
	if !ok || shared.entries[0].Operation != entry.Operation || shared.entries[0].APIVersion != entry.APIVersion {
		shared = trimmedEntry{entries: []metav1.ManagedFieldsEntry{{
			Manager: entry.Manager, Operation: entry.Operation, APIVersion: entry.APIVersion,
			FieldsType: entry.FieldsType, FieldsV1: metav1.NewFieldsV1(text),
		}}}
		if json.Unmarshal([]byte(text), &shared.fields) != nil {
			return []metav1.ManagedFieldsEntry{entry} // It owns nothing; see ownership.
		}
	}
	// Both maps are emptied together. What Secrets hold stays with them.
	if t.known == nil || max(len(t.known), len(t.whole)) >= mostShared || t.bytes+whole.bytes(text) > mostSharedBytes {
		t.known, t.whole, t.bytes = map[string]trimmedEntry{}, map[wholeFields][]metav1.ManagedFieldsEntry{}, 0
	}
	t.known[text], t.whole[whole] = shared, shared.entries
	t.bytes += whole.bytes(text)
	return shared.entries
}
