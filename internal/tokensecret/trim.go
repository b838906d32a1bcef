package tokensecret

import (
	"encoding/json"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TrimManagedFields keeps of managedFields what Observe and the patches look at, where the Secret is as we have written it: then it is
// the same for all Secrets with the same keys, and there once. Nobody may change what it returns. What others have written stays
// whole: a patch that takes their fields over gives the rest of it back.
func TrimManagedFields(entries []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	if len(entries) != 1 || entries[0].Manager != FieldManager || entries[0].FieldsV1 == nil {
		return entries
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
	return trimmed.of(string(text), entries[0])
}

// trimmed are the entries that Secrets share.
var trimmed trimmedEntries

type trimmedEntries struct {
	mu    sync.Mutex
	known map[string]trimmedEntry // by the text of the fields
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

// of returns what there is for the text, which is that of entry.
func (t *trimmedEntries) of(text string, entry metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	const most = 1024 // templates in use: with more, some are there several times
	t.mu.Lock()
	defer t.mu.Unlock()
	if shared, ok := t.known[text]; ok && shared.entries[0].Operation == entry.Operation && shared.entries[0].APIVersion == entry.APIVersion {
		return shared.entries
	}
	fresh := trimmedEntry{entries: []metav1.ManagedFieldsEntry{{
		Manager: entry.Manager, Operation: entry.Operation, APIVersion: entry.APIVersion,
		FieldsType: entry.FieldsType, FieldsV1: metav1.NewFieldsV1(text),
	}}}
	if json.Unmarshal([]byte(text), &fresh.fields) != nil {
		return []metav1.ManagedFieldsEntry{entry} // It owns nothing; see ownership.
	}
	if t.known == nil || len(t.known) >= most {
		t.known = map[string]trimmedEntry{}
	}
	t.known[text] = fresh
	return fresh.entries
}
