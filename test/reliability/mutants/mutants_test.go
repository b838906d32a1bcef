//go:build reliability

// Package mutants_test breaks the guards of the promises in docs/explanation/reliability.md, one
// at a time, and expects tests to fail: the tests of the model or, if the model does not contain
// the guard, the tests of a package.
package mutants_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pipes-operator/pipes-operator/test/reliability/figures"
)

// mutant is one broken guard.
type mutant struct {
	// breaks is the number of the promise, and the way in which it is broken.
	breaks string
	// at is the package that has the guard, and in is its function or variable, by name.
	at, in string
	// guard is an expression or a statement, as Go. The mutant replaces it by broken. In guard, _
	// stands for any code. In broken, $1 is the code of the first _, and $0 is the whole guard.
	guard, broken string
	// noticed is a regular expression that the output of the failing tests must match.
	noticed string
}

// The packages that have guards.
const (
	tokens   = "controllers/pipestoken"
	caches   = "internal/compact"
	links    = "internal/connection"
	secrets  = "internal/tokensecret"
	renewing = "internal/renewal"
	upstream = "internal/workos"
	granting = "internal/grants"
	queueing = "internal/fairqueue"
	feeding  = "internal/eventfeed"
)

var mutants = []mutant{
	{"1: the organization is left out of the request", tokens, "requestOf",
		`workos.Request{Slug: _, UserID: _, OrganizationID: _, Owner: _, AccountID: _, Method: _}`,
		`workos.Request{Slug: $1, UserID: $2}`, "invariant 1"},
	{"1: the owner of the connection is not looked at", tokens, "claim",
		`_.Spec.ConnectionOwner`, `v1alpha1.ConnectionOwnerUser`, "nobody has granted|not NotGranted"},
	{"1: an organization's connection fits a grant for users", granting, "ownerFits", `_ == ""`, `true`, "nobody has granted|not NotGranted"},
	{"1: a user's connection fits a grant for organizations", granting, "ownerFits",
		`slices.Contains(_, _)`, `true`, "nobody has granted|not NotGranted"},
	{"2: patches are sent without the resourceVersion that they were decided on", secrets, "decidedOn",
		`append(_, operation{"replace", "/metadata/resourceVersion", _})`, `$1`, "invariant 2"},
	{"2: a Secret is deleted although it has changed", tokens, "Delete",
		`&metav1.Preconditions{UID: _, ResourceVersion: _}`, `&metav1.Preconditions{UID: $1}`,
		"TestASecretThatHasChangedIsReadBeforeItIsDeleted"},
	{"3: an outage takes the token away", tokens, "traits",
		`v1alpha1.UpstreamUnavailableReason: {hidden: true, _}`,
		`v1alpha1.UpstreamUnavailableReason: {hidden: true, withdraws: true, $1}`, "invariant 3"},
	{"3: a status alone takes a token away", tokens, "doubtful", `_.last.state == fromStatus`, `false`, "invariant 3"},
	{"4: the status claims a Secret whose write has failed", tokens, "write",
		`_.notWritten(_, "write", _)`, `$2.secret = tokensecret.Secret{State: tokensecret.Intact, Facts: content.Facts}`, "invariant 4"},
	{"5: Secrets of others are written", secrets, "Observe", `_ == nil || _.UID != _.UID`, `$1 == nil && false`, "invariant 5"},
	{"6: the token is in the log", tokens, "ask",
		`_.Info("Asked WorkOS", _)`, `$1.Info("Asked WorkOS", $2, "token", answer.Token.Value.Reveal())`, "the log tells a secret"},
	{"7: a slow poll never comes", renewing, "SlowPoll", `min(_).Truncate(_)`, `24 * time.Hour`, "invariant 7|not TokenSynced"},
	{"7: a wait that a wrong clock has noted does not end", tokens, "asOf", `_ <= 0`, `true`, "invariant 7"},
	{"7: a token that a wrong clock has noted is renewed when that clock says", tokens, "clockWasAhead",
		`_.ObtainedAt.After(_)`, `$2.IsZero()`, "TestATokenThatAClockNotedWhichWasAheadIsLookedAt"},
	{"7: a reconcile that waits is made again at once", renewing, "Wait",
		`max(_, time.Millisecond)`, `min($1, time.Nanosecond)`, "hot loop"},
	{"8: an earlier attempt counts after a later token", tokens, "remembering", `_.isStale()`, `false`,
		"TestAFormerLeaderLeavesTheStatusOfALaterTokenAlone"},
	{"8: an earlier refresh request is reported over a later one", tokens, "statusOf",
		`answered == refresh.Request(_)`, `true`, "TestAFormerLeaderLeavesTheStatusOfALaterTokenAlone"},
	{"9: an object whose status could not be written is forgotten", tokens, "report",
		`ctrl.Result{RequeueAfter: _.stale(_)}`, `ctrl.Result{}`, "invariant"},
	{"9: an object with nothing to do is forgotten", tokens, "report", `renewal.Wait(_)`, `due.Sub(done.seen.now)`, "invariant 9"},
	{"10: the budget of the API key is not kept", upstream, "take", `_ <= 0`, `true`, "invariant 10"},
	{"10: Retry-After holds no other call back", upstream, "refusal", `_ <= 0`, `true`, "invariant 10"},
	{"11: an expired token is written", tokens, "judgeToken", `tooLate(_)`, `(finding.Finding{})`, "invariant 11"},
	{"11: tokens are renewed when they have expired", renewing, "before",
		`return earliest(_)`, `_ = exact; return t.Expires.Add(5 * time.Second)`, "renewal: the token|not TokenSynced"},
	{"11: the clock before the call judges the answer", tokens, "observeAfterCall",
		`if _ := _.observeRights(_); _ { _ }`, "earlier := seen.now\n$0\nseen.now = earlier", "invariant 11"},
	{"11: the grant before the call judges the answer", tokens, "observeAfterCall",
		`_.Present() || _.Spec.Suspend`, `$1.Present() && $1.Reason != v1alpha1.NotGrantedReason || $2.Spec.Suspend`, "invariant 11"},
	{"11: the date of an answer teaches nothing", links, "learnClock",
		`_.Learn(_, _)`, `_ = $2`, "TestAClockThatIsBehindCostsNoToken"},
	{"11: a date that is wrong for a moment is believed", renewing, "At",
		`max(_.settled.least, _.claim.least)`, `$2.claim.least`, "TestADateThatIsWrongForAMomentCostsNoToken"},
	{"12: WorkOS is asked again and again for a token that cannot be written", tokens, "fetch",
		`isUnwritten(_) && !_.rehearse(_)`, `false`, "invariant 12"},
	{"12: a field that admission has removed goes unnoticed", secrets, "Differences",
		`append(_, differentTexts("annotation", _)...)`, `$1`, "invariant 12|not TokenSynced"},
	{"15: a withdrawn grant goes unnoticed", tokens, "grantMissing",
		`_.granted`, `$1.granted || seen.secret.HoldsValidToken(seen.now)`, "nobody has granted|not NotGranted"},
	{"15: an orphaned Secret keeps its token", tokens, "wasOrphaned", `_.State == tokensecret.Orphaned`, `false`, "invariant 15"},
	{"15: a Secret that has left the cache is not looked for", tokens, "lookForHidden",
		`_.State != tokensecret.Absent || _`, `$2 || true`, "invariant 15"},
	{"16: a list that is absent allows everybody", granting, "listFits",
		`_ != "" && _`, `len(list) == 0 || $0`, "invariant 1|nobody has granted|not NotGranted"},
	{"16: a label that is missing has every ID", granting, "labelFits",
		`_[_] == _`, `($1[$2] == $3 || $1[$2] == "")`, "nobody has granted|not NotGranted"},
}

// elsewhere are the mutants that the model cannot notice, by the package whose tests notice them.
// In the model nothing takes long, nothing takes memory, and no grant lacks organizationIDs or has
// an empty selector.
var elsewhere = map[string][]mutant{
	"./" + upstream: {
		{"13: one namespace opens the circuit for all", upstream, "trip",
			`min(_, shareWeight)`, `$1`, "TestCircuitOfOneNamespaceIsItsOwn"},
		{"13: a failure of one connection counts for all", upstream, "trouble",
			`_.concernsSeveral()`, `true`, "TestOneConnectionThatFailsIsNoTroubleOfOthers"},
	},
	"./" + tokens: {
		{"1: an event of an organization reaches the connections of its members", tokens, "nameOf",
			`_.ConnectionOwner == v1alpha1.ConnectionOwnerOrganization`, `false`, "TestAnEventConcernsExactlyTheConnectionThatItNames"},
		{"10: events of the last hour cost calls after each start", tokens, "Hint",
			`_ && conditions.Stored(_).Before(_)`, `false`, "TestAReplayedEventIsNoNewsForThoseWhoKnowMore"},
		{"10: a hint stays after its call", tokens, "heeded", `delete(_, _)`, `_ = token`, "TestManyEventsAreOneHint"},
		{"10: an event asks although the last call was held back", tokens, "fetchCause",
			`_.isHinted() && _`, `$1.isHinted()`, "TestAHintBringsTheNextCallForward"},
		{"7: polls stay rare after the events are lost", tokens, "due",
			`_.lost.After(_)`, `false`, "TestPollsAreRareWhileEventsAreFollowed"},
	},
	"./" + feeding: {
		{"7: a cursor that WorkOS has forgotten is used for ever", feeding, "retreat",
			`_.cursor.after != ""`, `false`, "TestACursorThatIsTooOldBeginsAgain"},
		{"10: requests that WorkOS refuses are repeated at once", feeding, "receive",
			`refusals[_]`, `false`, "TestAKeyWithoutTheRightToReadEvents|TestAWorkOSThatUnderstandsNothing"},
	},
	"./" + queueing: {
		{"13: a namespace may hold all workers", queueing, "within", `max(_ - _.running, 1)`, `$1`,
			"TestCallsThatHangLeaveWorkersToEachFurtherNamespace|TestBusyIsHowManyWorkersOneNamespaceGets"},
		{"13: the most urgent namespace is always next", queueing, "choose",
			`_.picks%2 == 0`, `true`, "TestTheScheduleDoesAsThePlainQueueDoes"},
	},
	"./" + caches: {
		{"14: the cache keeps PipesTokens of any size", caches, "trimToken",
			`tokenBytes(_) > mostTokenBytes`, `tokenBytes($1) > 1<<30`, "TestAnObjectTakesLittleInTheCachesWhateverIsInIt/PipesToken"},
		{"14: the cache keeps metadata of Secrets of any size", caches, "trimSecretMetadata",
			`cachedBytes(_) > mostCached`, `cachedBytes($1) > 1<<30`, "TestAnObjectTakesLittleInTheCachesWhateverIsInIt/Secret"},
	},
	"./" + granting: {
		{"16: organizations that are absent allow a claim without one", granting, "organizationFits",
			`isAny(_) || slices.Contains(_, v1alpha1.NoOrganization)`, `len($1) == 0 || isAny($1)`, "TestListsThatAreNotGivenDeny"},
		{"16: an empty selector selects every namespace", granting, "namespaceFits",
			`_ && !_.Empty()`, `$1`, "TestGrantsByLabelOfTheNamespace"},
		{"16: a label beside a list counts", granting, "userAllowed",
			`len(_) == 0`, `true`, "TestGrantsOfTheUserInALabelOfTheNamespace"},
		{"16: the label none is an organization", granting, "organizationAllowed",
			`_ != v1alpha1.NoOrganization`, `true`, "TestGrantsOfTheOrganizationInALabelOfTheNamespace"},
		{"16: an empty list of owners is the default", granting, "ownerFits",
			`_ == nil`, `len($1) == 0`, "TestGrantsOfConnectionOwners"},
		{"16: a tenant learns the labels of grants for others", granting, "Mismatches",
			`namespaceFits(_)`, `true`, "TestMismatchesNameTheLabelsOfTheOwnNamespace"},
	},
}

// all returns all mutants, by the package whose tests notice them.
func all() map[string][]mutant {
	all := maps.Clone(elsewhere)
	all[model] = mutants
	return all
}

// TestEveryMutantFits checks the mutants without running them.
func TestEveryMutantFits(t *testing.T) {
	for _, mutants := range all() {
		for _, m := range mutants {
			t.Run(m.breaks, func(t *testing.T) { m.apply(t, filepath.Join("..", "..", "..")) })
		}
	}
}

func TestEveryMutantIsNoticed(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	count, noticed := 0, 0
	for suite, mutants := range all() {
		for _, m := range mutants {
			count++
			t.Run(m.breaks, func(t *testing.T) {
				output, err := m.run(t, root, suite)
				if err == nil {
					t.Fatalf("%s notices nothing", suite)
				}
				if !regexp.MustCompile(m.noticed).MatchString(output) {
					t.Fatalf("%s does not say %q, but:\n%s", suite, m.noticed, tail(output))
				}
				noticed++
			})
		}
	}
	figures.Record(t, "12-mutants", figures.Suite{Name: "Guards broken on purpose, one at a time", Figures: []figures.Figure{
		{Name: "guards broken", Value: fmt.Sprint(count), Promise: "at least 10"},
		{Name: "noticed by the tests", Value: fmt.Sprint(noticed), Promise: "all"},
	}})
}

// model is the package whose tests notice most mutants.
const model = "./test/reliability/model"

// tests returns the arguments of go test for a package, one list for each run. In the model, the
// regression tests run first, because they take only a second; the random sequences use a fixed
// seed. In other packages, only the tests without an API server run.
func tests(suite string) [][]string {
	if suite != model {
		return [][]string{{"-skip=^TestControllers$", suite}}
	}
	sequences := []string{model, "-args", "-rapid.nofailfile", "-rapid.seed=1", "-rapid.checks=4000", "-rapid.steps=50", "-rapid.shrinktime=0s"}
	return [][]string{append([]string{"-run=^TestA"}, sequences...), append([]string{"-run=^TestModel$"}, sequences...)}
}

// run runs the tests of a package on the mutant.
func (m mutant) run(t *testing.T, root, suite string) (string, error) {
	t.Helper()
	path, mutated := m.apply(t, root)
	directory := t.TempDir()
	mutant, overlay := filepath.Join(directory, "mutant.go"), filepath.Join(directory, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{path: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{mutant: mutated, overlay: string(text)} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, arguments := range tests(suite) {
		command := exec.CommandContext(t.Context(), "go", append([]string{
			"test", "-overlay", overlay, "-vet=off", "-tags=reliability", "-count=1", "-timeout=3m",
		}, arguments...)...)
		command.Dir = root
		// Do not record the figures of a mutant.
		command.Env = append(os.Environ(), figures.Environment+"=")
		output, err := command.CombinedOutput()
		if strings.Contains(string(output), "[build failed]") {
			t.Fatalf("the mutant does not build:\n%s", tail(string(output)))
		}
		if err != nil {
			return string(output), err
		}
	}
	return "", nil
}

func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
