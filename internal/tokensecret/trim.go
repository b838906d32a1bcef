package tokensecret

import (
	"encoding/json"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Bounds of the table of shared entries. Anybody who may write Secrets in some namespace
// decides its content, so it is bounded in bytes as well as in number.
const (
	// mostShared is the number of entries that the table can hold. With more entries the table
	// is emptied, and some entries exist twice.
	mostShared = 1024
	// mostSharedBytes bounds the text of all entries in the table. The parsed text takes about
	// three times as much memory in addition.
	mostSharedBytes = 1 << 20
	// longestShared is the longest entry that is shared, in bytes. Our own entries have about 1
	// KiB.
	longestShared = 8 << 10
)

// TrimManagedFields reduces managedFields to the part that Observe and the patches use, if the
// Secret is as we wrote it. All Secrets with the same keys have the same part, and share one
// copy of it. Callers must not change the result. If others have written to the Secret, the
// entries stay whole: a patch that takes over their fields must return the rest of the entries
// unchanged. An entry that is too long to share also stays whole.
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

// wholeFields are the fields of an entry without the UID of an owner. That UID is the only
// difference between Secrets that are written alike.
type wholeFields struct {
	operation                 metav1.ManagedFieldsOperationType
	apiVersion, before, after string
}

func wholeOf(entry metav1.ManagedFieldsEntry) wholeFields {
	before, rest, _ := strings.Cut(string(entry.FieldsV1.GetRawBytes()), `"k:{\"uid\":\"`)
	_, after, _ := strings.Cut(rest, `\"}"`)
	return wholeFields{entry.Operation, entry.APIVersion, before, after}
}

// bytes returns the number of bytes that the table holds for the entry.
func (w wholeFields) bytes(text string) int {
	return len(text) + len(w.apiVersion) + len(w.before) + len(w.after)
}

// trimmed is the table of the entries that Secrets share.
var trimmed trimmedEntries

type trimmedEntries struct {
	mu    sync.Mutex
	known map[string]trimmedEntry // by the text of the fields
	whole map[wholeFields][]metav1.ManagedFieldsEntry
	// bytes counts the text in both maps.
	bytes int
}

type trimmedEntry struct {
	entries []metav1.ManagedFieldsEntry
	// fields are the parsed text. They must not be changed.
	fields fieldSet
}

// fieldsOf returns the fields of our entry if Secrets share that entry. To parse it takes
// longer than everything else that Observe does with a Secret.
func (t *trimmedEntries) fieldsOf(entry metav1.ManagedFieldsEntry) (fieldSet, bool) {
	if entry.Manager != FieldManager || entry.FieldsV1 == nil {
		return fieldSet{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.known[string(entry.FieldsV1.GetRawBytes())]
	return known.fields, ok
}

// shares reports whether the entries are those of the table. They then take no memory in the
// Secret.
func (t *trimmedEntries) shares(entries []metav1.ManagedFieldsEntry) bool {
	if len(entries) != 1 || entries[0].FieldsV1 == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.known[string(entries[0].FieldsV1.GetRawBytes())]
	return ok && &known.entries[0] == &entries[0]
}

// ofWhole returns the shared entries for an entry that was trimmed before. Trimming takes
// longer than the rest of the decoding.
func (t *trimmedEntries) ofWhole(whole wholeFields) ([]metav1.ManagedFieldsEntry, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	shared, ok := t.whole[whole]
	return shared, ok
}

// of returns the shared entries for text, which is the trimmed form of entry. It adds them to
// the table if they are not in it.
func (t *trimmedEntries) of(
	text string, entry metav1.ManagedFieldsEntry, whole wholeFields,
) []metav1.ManagedFieldsEntry {
	t.mu.Lock()
	defer t.mu.Unlock()
	shared, ok := t.known[text]
	if !ok || shared.entries[0].Operation != entry.Operation || shared.entries[0].APIVersion != entry.APIVersion {
		shared = trimmedEntry{entries: []metav1.ManagedFieldsEntry{{
			Manager: entry.Manager, Operation: entry.Operation, APIVersion: entry.APIVersion,
			FieldsType: entry.FieldsType, FieldsV1: metav1.NewFieldsV1(text),
		}}}
		if json.Unmarshal([]byte(text), &shared.fields) != nil {
			return []metav1.ManagedFieldsEntry{entry} // The entry owns nothing; see ownership.
		}
	}
	// Both maps are emptied together. Secrets keep the entries that they hold.
	if t.known == nil || max(len(t.known), len(t.whole)) >= mostShared || t.bytes+whole.bytes(text) > mostSharedBytes {
		t.known, t.whole, t.bytes = map[string]trimmedEntry{}, map[wholeFields][]metav1.ManagedFieldsEntry{}, 0
	}
	t.known[text], t.whole[whole] = shared, shared.entries
	t.bytes += whole.bytes(text)
	return shared.entries
}
