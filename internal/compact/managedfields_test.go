package compact

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// entryOf returns our entry of a Secret with this owner and this annotation.
func entryOf(uid, annotation string) []metav1.ManagedFieldsEntry {
	return []metav1.ManagedFieldsEntry{{
		Manager: tokensecret.FieldManager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1",
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

// The tables keep shared entries in memory. Anybody who may write Secrets chooses the keys, so the
// tables must be bounded.
func TestWhatIsSharedHasAnEnd(t *testing.T) {
	for i := range 3000 {
		TrimManagedFields(entryOf("uid", fmt.Sprint("annotation-", i)))
	}
	for i := range 1000 {
		TrimManagedFields(entryOf("uid", fmt.Sprintf("annotation-%d-%s", i, strings.Repeat("a", 4000))))
	}
	for name, holds := range map[string]func() (int, int){"whole": trimmedOf.Holds, "trimmed": shared.Holds} {
		if results, bytes := holds(); results == 0 || results > mostShared || bytes == 0 || bytes > mostSharedBytes {
			t.Errorf("%s: %d entries of %d bytes are held", name, results, bytes)
		}
	}
}

func TestAnEntryThatIsTooLongIsNotShared(t *testing.T) {
	entry := entryOf("uid", strings.Repeat("a", longestEntry))
	got, isShared := trimEntries(entry)
	if &got[0] != &entry[0] || isShared {
		t.Error("it was trimmed")
	}
}

func TestAnEntryThatCannotBeReadStays(t *testing.T) {
	entry := entryOf("uid", "a")
	entry[0].FieldsV1 = metav1.NewFieldsV1(`{"f:data":`)
	for range 2 {
		if got, isShared := trimEntries(entry); &got[0] != &entry[0] || isShared {
			t.Errorf("got %v", got)
		}
	}
}
