package tokensecret

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// entryOf returns our entry of a Secret with this owner and this annotation.
func entryOf(uid, annotation string) []metav1.ManagedFieldsEntry {
	return []metav1.ManagedFieldsEntry{{
		Manager: FieldManager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(fmt.Sprintf(`{"f:data":{".":{},"f:access_token":{}},"f:metadata":{"f:annotations":{".":{},"f:%s":{}},`+
			`"f:labels":{".":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"%s\"}":{}}},"f:type":{}}`, annotation, uid)),
	}}
}

func TestSecretsThatAreWrittenAlikeShareTheirManagedFields(t *testing.T) {
	one, another, different := TrimManagedFields(entryOf("uid-1", "a")), TrimManagedFields(entryOf("uid-2", "a")), TrimManagedFields(entryOf("uid-1", "b"))
	if &one[0] != &another[0] {
		t.Errorf("they differ by more than their owners: %s and %s", one[0].FieldsV1, another[0].FieldsV1)
	}
	const want = `{"f:data":{".":{},"f:access_token":{}},"f:metadata":{"f:annotations":{".":{},"f:b":{}},"f:labels":{".":{}}}}`
	if got := string(different[0].FieldsV1.GetRawBytes()); got != want {
		t.Errorf("got %s", got)
	}
	applied := entryOf("uid-1", "a")
	applied[0].Operation = metav1.ManagedFieldsOperationApply
	if got := TrimManagedFields(applied); got[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Errorf("got %+v", got[0])
	}
}

// Every Secret that comes from the API server is trimmed, so repeated trimming must stay cheap.
func TestTrimmingWhatWasTrimmedBeforeIsCheap(t *testing.T) {
	entry := entryOf("uid-1", "a")
	TrimManagedFields(entry)
	if each := testing.AllocsPerRun(100, func() { TrimManagedFields(entry) }); each > 2 {
		t.Errorf("%.0f allocations", each)
	}
}

// The table keeps shared entries in memory, so its size must be bounded.
func TestWhatIsSharedHasAnEnd(t *testing.T) {
	for i := range 3000 {
		TrimManagedFields(entryOf("uid", fmt.Sprint("annotation-", i)))
	}
	trimmed.mu.Lock()
	defer trimmed.mu.Unlock()
	if len(trimmed.known) > 1024 || len(trimmed.whole) > 1024 {
		t.Errorf("%d and %d are held", len(trimmed.known), len(trimmed.whole))
	}
}

// Anybody who may write Secrets chooses the keys, so the table is bounded in bytes too.
func TestWhatIsSharedIsBoundedInBytes(t *testing.T) {
	for i := range 1000 {
		TrimManagedFields(entryOf("uid", fmt.Sprintf("annotation-%d-%s", i, strings.Repeat("a", 4000))))
	}
	trimmed.mu.Lock()
	defer trimmed.mu.Unlock()
	held := 0
	for text := range trimmed.known {
		held += len(text)
	}
	for whole := range trimmed.whole {
		held += len(whole.before) + len(whole.after)
	}
	if held == 0 || held > mostSharedBytes {
		t.Errorf("%d bytes are held, want at most %d", held, mostSharedBytes)
	}
}

func TestAnEntryThatIsTooLongIsNotShared(t *testing.T) {
	entry := entryOf("uid", strings.Repeat("a", longestShared))
	if got := TrimManagedFields(entry); &got[0] != &entry[0] {
		t.Error("it was trimmed")
	}
	trimmed.mu.Lock()
	defer trimmed.mu.Unlock()
	for text := range trimmed.known {
		if len(text) > longestShared {
			t.Errorf("%d bytes are held", len(text))
		}
	}
}
