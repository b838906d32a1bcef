package main

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func tokenWith(status v1alpha1.PipesTokenStatus) *v1alpha1.PipesToken {
	return &v1alpha1.PipesToken{
		ObjectMeta: metav1.ObjectMeta{Name: "github-alice", CreationTimestamp: metav1.NewTime(noon.Add(-125 * time.Second))},
		Spec:       v1alpha1.PipesTokenSpec{Slug: "github"},
		Status:     status,
	}
}

func readyWith(status metav1.ConditionStatus, reason string) []metav1.Condition {
	return []metav1.Condition{{Type: "Stalled", Status: "True"}, {Type: "Ready", Status: status, Reason: reason}}
}

func TestRowsLookLikeThoseOfKubectl(t *testing.T) {
	expires := metav1.NewTime(noon.Add(time.Hour).In(time.FixedZone("elsewhere", 3600)))
	for name, test := range map[string]struct {
		status v1alpha1.PipesTokenStatus
		want   string
	}{
		"no status": {v1alpha1.PipesTokenStatus{},
			"  github-alice  github                                                      2m5s\n"},
		"no expiry": {v1alpha1.PipesTokenStatus{Conditions: readyWith("False", "NeedsReauthorization")},
			"  github-alice  github  False    NeedsReauthorization                       2m5s\n"},
		"with expiry": {v1alpha1.PipesTokenStatus{Conditions: readyWith("True", "TokenSynced"), ExpirationTime: &expires},
			"  github-alice  github  True     TokenSynced          2026-11-23T13:00:00Z  2m5s\n"},
		"a reason that is too long": {v1alpha1.PipesTokenStatus{Conditions: readyWith("False", "AccountSelectionRequired")},
			"  github-alice  github  False    AccountSelectionRequired                       2m5s\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			(&console{out: &out}).tableRow(rowOf(tokenWith(test.status), noon))
			if out.String() != test.want {
				t.Errorf("got  %q\nwant %q", out.String(), test.want)
			}
		})
	}
}

func TestTheTableFitsATerminalOf80Columns(t *testing.T) {
	var out strings.Builder
	c := &console{out: &out}
	c.tableHeader()
	c.tableRow(row{
		name: "linear-carol", slug: "linear", ready: "Unknown", reason: "NeedsReauthorization",
		expires: "2026-11-23T13:00:00Z", age: 125 * time.Second,
	})
	for line := range strings.Lines(out.String()) {
		if len(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}

func TestColourDoesNotMoveColumns(t *testing.T) {
	var plain, coloured strings.Builder
	r := row{name: "github-alice", slug: "github", ready: "True", reason: "TokenSynced"}
	(&console{out: &plain}).tableRow(r)
	(&console{out: &coloured, colour: true}).tableRow(r)
	if !strings.Contains(coloured.String(), "\x1b[32mTrue     \x1b[0m") {
		t.Errorf("got %q", coloured.String())
	}
	if got := strings.NewReplacer("\x1b[32m", "", "\x1b[0m", "").Replace(coloured.String()); got != plain.String() {
		t.Errorf("got %q, want %q", got, plain.String())
	}
}

func TestTheObserverShowsARowOncePerChange(t *testing.T) {
	o := &observer{shown: map[string]row{}, first: map[string]time.Time{}}
	pending, synced := readyWith("Unknown", "Pending"), readyWith("True", "TokenSynced")
	for _, conditions := range [][]metav1.Condition{pending, pending, synced, synced, pending} {
		o.see(tokenWith(v1alpha1.PipesTokenStatus{Conditions: conditions}))
	}
	var reasons []string
	for _, r := range o.rows() {
		reasons = append(reasons, r.reason)
	}
	if got := strings.Join(reasons, " "); got != "Pending TokenSynced Pending" {
		t.Errorf("got %s", got)
	}
	if rows := o.rows(); rows != nil {
		t.Errorf("shown twice: %v", rows)
	}
}

func TestTheJournalShowsCallsOfOneConnectionOrAll(t *testing.T) {
	requests := []workossim.Request{
		{Time: noon, ID: githubAlice.id, Status: 200, Result: "token", TokenSerial: 3},
		{Time: noon.Add(time.Second), ID: slackAlice.id, Status: 200, Result: "not_installed"},
	}
	const header, token, inactive = "TIME      SLUG     USER          STATUS  RESULT                 TOKEN\n",
		"12:00:00  github   user_01ALICE  200     token                  number 3\n",
		"12:00:01  slack    user_01ALICE  200     not_installed          \n"
	if got := journalTable(requests, githubAlice); got != header+token {
		t.Errorf("got\n%s", got)
	}
	if got := journalTable(requests); got != header+token+inactive {
		t.Errorf("got\n%s", got)
	}
}
