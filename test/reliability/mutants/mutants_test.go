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
	name string
	// file is the path from the root of the repository. old is replaced by broken in it, and must
	// occur once.
	file, old, broken string
	// noticed is a regular expression that the output of the failing tests must match.
	noticed string
}

var mutants = []mutant{
	{"the organization is left out of the request", "controllers/act.go",
		"OrganizationID: done.token.Spec.OrganizationID,\n\t}, turnOf(done.observation))", "}, turnOf(done.observation))", "invariant 1"},
	{"patches are sent without the resourceVersion that they were decided on", "internal/tokensecret/write.go",
		`return append(patch, operation{"replace", "/metadata/resourceVersion", s.Meta.ResourceVersion})`, "return patch", "invariant 2"},
	{"an outage takes the token away", "controllers/findings.go",
		"v1alpha1.UpstreamUnavailableReason: {hidden: true,", "v1alpha1.UpstreamUnavailableReason: {hidden: true, withdraws: true,", "invariant 3"},
	{"the status tells of a Secret whose write has failed", "controllers/write.go",
		"r.notWritten(done, \"write\", err)\n\t\treturn\n\t}\n\tdone.unseen", "done.secret = tokensecret.Secret{State: tokensecret.Intact, Facts: content.Facts}\n\t\treturn\n\t}\n\tdone.unseen", "invariant 4"},
	{"Secrets of others are written", "internal/tokensecret/observe.go",
		"case controller == nil || controller.UID != token.UID:", "case controller == nil && false:", "invariant 5"},
	{"the log tells the token", "controllers/act.go",
		`"message", done.answer.Message)`, `"message", done.answer.Message, "token", done.answer.Token.Value.Reveal())`, "the log tells a secret"},
	{"a change of the API key does not end the wait for a slow poll that never comes", "internal/renewal/renewal.go",
		"return min(max(now.Sub(since)/pollShare, minPoll), maxPoll).Truncate(time.Second)", "return 24 * time.Hour", "invariant 7|not TokenSynced"},
	{"a Secret is deleted although it has changed", "controllers/secrets.go",
		"&metav1.Preconditions{UID: &meta.UID, ResourceVersion: &meta.ResourceVersion}", "&metav1.Preconditions{UID: &meta.UID}", "TestASecretThatHasChangedIsReadBeforeItIsDeleted"},
	{"an object whose status could not be written does not come back", "controllers/report.go",
		"return ctrl.Result{RequeueAfter: r.memory.stale(done.token)}, nil", "return ctrl.Result{}, nil", "invariant"},
	{"an object with nothing to do does not come back", "controllers/report.go",
		"RequeueAfter: renewal.Wait(done.now, due, done.expiry(), done.doubt(), done.sparedUntil(done.finding))", "RequeueAfter: due.Sub(done.now)", "invariant 9"},
	{"the budget of the API key is not kept", "internal/workos/budget.go",
		"	if wait <= 0 {\n\t\tb.turns.served", "	if true {\n\t\tb.turns.served", "invariant 10"},
	{"Retry-After holds nobody else back", "internal/workos/gate.go",
		"if left <= 0 {", "if true {", "invariant 10"},
	{"a withdrawn grant goes unnoticed", "controllers/decide.go",
		"	if seen.granted {\n", "	if seen.granted || seen.secret.HoldsValidToken(seen.now) {\n", "nobody has granted|not NotGranted"},
	{"an expired token is written", "controllers/judge.go",
		"sameToken); late.present() {", "sameToken); late.present() && false {", "invariant 11"},
	{"tokens are renewed when they have expired", "internal/renewal/renewal.go",
		"	return earliest(exact.Add(time.Second-1).Truncate(time.Second), t.Expires)", "	_ = exact\n\treturn t.Expires.Add(5 * time.Second)", "renewal: the token|not TokenSynced"},
	{"what a status says takes a token away", "controllers/observe.go",
		"return seen.attempt.fromStatus && seen.withdraws(", "return false && seen.withdraws(", "invariant 3"},
	{"what a try found stands after a later token", "controllers/observe.go",
		"	if seen.isStale() {\n", "	if false {\n", "TestAFormerLeaderLeavesTheStatusOfALaterTokenAlone"},
	{"an old refresh request is told over a later one", "controllers/status.go",
		"done.attempt.request != \"\" && done.attempt.request == refreshRequest(done.token)", "done.attempt.request != \"\"", "TestAFormerLeaderLeavesTheStatusOfALaterTokenAlone"},
	{"a pass that waits is made again at once", "internal/renewal/renewal.go",
		"return max(wait, time.Millisecond)", "return min(wait, time.Nanosecond)", "hot loop"},
	{"waits are believed that a wrong clock has noted", "controllers/memory.go",
		"if back <= 0 {", "if true {", "invariant 7"},
	{"a token that a wrong clock has noted is renewed when that clock says", "controllers/decide.go",
		"return seen.secret.Facts.ObtainedAt.After(seen.now.Add(tolerance))", "return seen.now.Add(tolerance).IsZero()", "TestATokenThatAClockNotedWhichWasAheadIsLookedAt"},
	{"the clock of before the call judges the answer", "controllers/recheck.go",
		"	if err := r.lookAtRights(ctx, &done.observation); err != nil {\n\t\treturn err\n\t}\n", "	earlier := done.now\n	if err := r.lookAtRights(ctx, &done.observation); err != nil {\n\t\treturn err\n\t}\n	done.now = earlier\n", "invariant 11"},
	{"the grant of before the call judges the answer", "controllers/recheck.go",
		"done.superseded = obstacle.present() || token.Spec.Suspend",
		"done.superseded = obstacle.present() && obstacle.reason != v1alpha1.NotGrantedReason || token.Spec.Suspend", "invariant 11"},
	{"WorkOS is asked again and again for what cannot be written", "controllers/act.go",
		"if seen.standing.unwritten() && !r.rehearse(ctx, &done) {", "if false {", "invariant 12"},
	{"what admission has removed goes unnoticed", "internal/tokensecret/differences.go",
		"found = append(found, differentTexts(\"annotation\", stored.Annotations, wanted.Annotations)...)", "", "invariant 12|not TokenSynced"},
	{"a list that is absent allows everybody", "internal/grants/grants.go",
		"return value != \"\" && (isAny(list)", "return len(list) == 0 || value != \"\" && (isAny(list)", "invariant 1|nobody has granted|not NotGranted"},
	{"an orphaned Secret keeps its token", "controllers/withdraw.go",
		"return done.secret.State == tokensecret.Orphaned && done.token", "return false && done.token", "invariant 15"},
	{"a Secret that has left the cache is not looked for", "controllers/withdraw.go",
		"if done.secret.State != tokensecret.Absent || told {", "if told || true {", "invariant 15"},
	{"the date of an answer teaches nothing", "controllers/skew.go",
		"	s.skew.Learn(sample, told)\n", "	_ = sample\n", "TestAClockThatIsBehindCostsNoToken"},
	{"a date that is wrong for a moment is believed", "internal/renewal/skew.go",
		"return max(s.settled.least, s.claim.least) + s.setBack(now)", "return s.claim.least + s.setBack(now)", "TestADateThatIsWrongForAMomentCostsNoToken"},
}

// elsewhere are the mutants that the model cannot notice, by the package whose tests notice them.
// In the model nothing takes long, nothing takes memory, and no grant lacks organizationIDs or has
// an empty selector.
var elsewhere = map[string][]mutant{
	"./internal/workos": {
		{"one namespace opens the circuit for all", "internal/workos/circuit.go",
			"together += min(weight, shareWeight)", "together += weight", "TestCircuitOfOneNamespaceIsItsOwn"},
		{"what concerns one connection is told of all", "internal/workos/keystate.go",
			"circuit.concernsSeveral() &&", "", "TestOneConnectionThatFailsIsNoTroubleOfOthers"},
	},
	"./internal/fairqueue": {
		{"a namespace may hold all workers", "internal/fairqueue/pick.go",
			"n.running < max(s.workers-s.running, 1)", "n.running < s.workers", "TestCallsThatHangLeaveWorkersToEachFurtherNamespace|TestBusyIsHowManyWorkersOneNamespaceGets"},
		{"the most urgent namespace is always next", "internal/fairqueue/pick.go",
			"if s.picks%2 == 0 {", "if true {", "TestTheScheduleDoesAsThePlainQueueDoes"},
	},
	"./controllers": {
		{"the cache keeps PipesTokens of any size", "controllers/cached.go",
			"if tokenBytes(token) > mostTokenBytes {", "if tokenBytes(token) > 1<<30 {", "TestAnObjectTakesLittleInTheCachesWhateverIsInIt/PipesToken"},
		{"the cache keeps metadata of Secrets of any size", "internal/tokensecret/stub.go",
			"if cachedBytes(meta) > mostCached {", "if cachedBytes(meta) > 1<<30 {", "TestAnObjectTakesLittleInTheCachesWhateverIsInIt/Secret"},
	},
	"./internal/grants": {
		{"organizations that are absent allow a claim without one", "internal/grants/grants.go",
			"return isAny(list) || slices.Contains(list, v1alpha1.NoOrganization)", "return len(list) == 0 || isAny(list)", "TestListsThatAreNotGivenDeny"},
		{"an empty selector selects every namespace", "internal/grants/grants.go",
			"!selector.Empty() && ", "", "TestGrantsByLabelOfTheNamespace"},
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
			t.Run(m.name, func(t *testing.T) { m.source(t, filepath.Join("..", "..", "..")) })
		}
	}
}

// source returns the file that the mutant breaks. It fails the test unless old occurs in it
// exactly once.
func (m mutant) source(t *testing.T, root string) (path, source string) {
	t.Helper()
	path = filepath.Join(root, filepath.FromSlash(m.file))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if count := strings.Count(string(text), m.old); count != 1 {
		t.Fatalf("%q occurs %d times in %s: fix this mutant", m.old, count, m.file)
	}
	return path, string(text)
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
			t.Run(m.name, func(t *testing.T) {
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
	path, source := m.source(t, root)
	directory := t.TempDir()
	mutated, overlay := filepath.Join(directory, "mutant.go"), filepath.Join(directory, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{path: mutated}})
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{mutated: strings.Replace(source, m.old, m.broken, 1), overlay: string(text)} {
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
