package pipestoken

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

var update = flag.Bool("update", false, "write testdata/messages.txt")

// The messages of conditions are read by people, and quoted in tickets and runbooks. Whoever changes
// one sees it here, beside the others: they must stay short, plain and say what to do.
func TestMessagesAreAsPeopleKnowThem(t *testing.T) {
	var lines []string
	for _, outcome := range slices.Sorted(maps.Keys(explanations)) {
		found := explanations[outcome]
		lines = append(lines, fmt.Sprintf("%s\n  %s: %s", outcome, found.Reason, found.Message))
	}
	for _, obstacle := range []struct {
		name   string
		change func(*observation)
	}{
		{"no PipesEnvironment", func(o *observation) { o.origin.environment = nil }},
		{"no default PipesEnvironment", func(o *observation) { o.origin.environment, o.origin.name.Name = nil, "" }},
		{"no grant", func(o *observation) { o.origin.granted = false }},
		{"no grant, in an organization", func(o *observation) { o.origin.granted, o.token.Spec.OrganizationID = false, "org_1" }},
		{"no grant, of an organization", func(o *observation) {
			o.origin.granted, o.token.Spec.OrganizationID = false, "org_1"
			o.token.Spec.ConnectionOwner = v1alpha1.ConnectionOwnerOrganization
		}},
		{"suspended", func(o *observation) {
			o.token.Spec.Suspend, o.secret = true, tokensecret.Secret{State: tokensecret.Absent}
		}},
		{"a Secret of somebody else", func(o *observation) { o.secret.State = tokensecret.Foreign }},
		{"a template that cannot be used", func(o *observation) { o.templateErr = fmt.Errorf("unexpected EOF") }},
	} {
		seen := healthy()
		obstacle.change(&seen)
		found := firstObstacle(seen)
		lines = append(lines, fmt.Sprintf("%s\n  %s: %s", obstacle.name, found.Reason, found.Message))
	}
	got := strings.Join(lines, "\n") + "\n"
	golden := filepath.Join("testdata", "messages.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the messages have changed; if they are better now, run this test with -update:\n%s", got)
	}
}
