package compact

import (
	"encoding/json"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/internal/memo"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// Bounds of the tables of shared entries. Anybody who may write Secrets in some namespace
// decides their content, so they are bounded in bytes as well as in number.
const (
	mostShared      = 1024
	mostSharedBytes = 512 << 10
	// longestEntry is the longest entry that is shared, in bytes. Our own entries have about 1
	// KiB.
	longestEntry = 8 << 10
)

// Secrets keep the entries that they hold, even if a table is emptied. Some entries then exist
// twice.
var (
	// trimmedOf holds the trimmed entries by the entry before. Trimming takes longer than the rest
	// of the decoding.
	trimmedOf = memo.New[wholeEntry, []metav1.ManagedFieldsEntry](mostShared, mostSharedBytes)
	// shared holds the trimmed entries by their content.
	shared = memo.New[trimmedEntry, []metav1.ManagedFieldsEntry](mostShared, mostSharedBytes)
)

// wholeEntry is an entry without the UID of an owner. That UID is the only difference between
// Secrets that are written alike.
type wholeEntry struct {
	operation                 metav1.ManagedFieldsOperationType
	apiVersion, before, after string
}

// trimmedEntry is the content of a trimmed entry.
type trimmedEntry struct {
	operation        metav1.ManagedFieldsOperationType
	apiVersion, text string
}

// TrimManagedFields reduces managedFields to the part that package tokensecret uses, if the
// Secret is as we wrote it. All Secrets with the same keys have the same part, and share one
// copy of it. Callers must not change the result. If others have written to the Secret, the
// entries stay whole: a patch that takes over their fields must return the rest of the entries
// unchanged. An entry that is too long to share also stays whole.
func TrimManagedFields(entries []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	trimmed, _ := trimEntries(entries)
	return trimmed
}

// trimEntries is TrimManagedFields. isShared: the result takes no memory of the Secret.
func trimEntries(entries []metav1.ManagedFieldsEntry) (trimmed []metav1.ManagedFieldsEntry, isShared bool) {
	if len(entries) != 1 || entries[0].Manager != tokensecret.FieldManager || entries[0].FieldsV1 == nil {
		return entries, false
	}
	text := string(entries[0].FieldsV1.GetRawBytes())
	size := len(entries[0].APIVersion) + len(text)
	if size > longestEntry {
		return entries, false
	}
	before, rest, _ := strings.Cut(text, `"k:{\"uid\":\"`)
	_, after, _ := strings.Cut(rest, `\"}"`)
	whole := wholeEntry{entries[0].Operation, entries[0].APIVersion, before, after}
	trimmed = trimmedOf.Of(whole, size, func() []metav1.ManagedFieldsEntry { return trimEntry(entries[0]) })
	if trimmed == nil {
		return entries, false
	}
	return trimmed, true
}

// trimEntry returns nil if the entry cannot be read.
func trimEntry(entry metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	var fields struct {
		Data     json.RawMessage `json:"f:data,omitempty"`
		Metadata struct {
			Annotations json.RawMessage `json:"f:annotations,omitempty"`
			Labels      json.RawMessage `json:"f:labels,omitempty"`
		} `json:"f:metadata"`
	}
	if json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
		return nil
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return nil
	}
	trimmed := trimmedEntry{entry.Operation, entry.APIVersion, string(text)}
	return shared.Of(trimmed, len(text), func() []metav1.ManagedFieldsEntry {
		return []metav1.ManagedFieldsEntry{{
			Manager: entry.Manager, Operation: entry.Operation, APIVersion: entry.APIVersion,
			FieldsType: entry.FieldsType, FieldsV1: metav1.NewFieldsV1(trimmed.text),
		}}
	})
}
