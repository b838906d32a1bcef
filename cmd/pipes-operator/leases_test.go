package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// kustomization has the fields of a kustomization that these tests read.
type kustomization struct {
	Patches []struct {
		Target struct{ Kind, Name string } `json:"target"`
		Patch  string                      `json:"patch"`
	} `json:"patches"`
}

type operation struct {
	Op, Path string
	Value    any
}

func readConfig(t *testing.T, into any, path ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{"..", "..", "config"}, path...)...))
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// patchesOf returns the operations of all patches with this target.
func patchesOf(t *testing.T, kind string, path ...string) (operations []operation) {
	t.Helper()
	var read kustomization
	readConfig(t, &read, append(path, "kustomization.yaml")...)
	for _, patch := range read.Patches {
		var some []operation
		if patch.Target.Kind != kind {
			continue
		}
		if err := yaml.Unmarshal([]byte(patch.Patch), &some); err != nil {
			t.Fatal(err)
		}
		operations = append(operations, some...)
	}
	return operations
}

// The Role names the Leases, so that the operator's account cannot change other Leases in its
// namespace.
func TestTheRoleNamesTheLeaseOfTheLeaderElection(t *testing.T) {
	var role rbacv1.Role
	readConfig(t, &role, "rbac", "leader_election_role.yaml")
	o, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range role.Rules {
		switch {
		case !slices.Contains(rule.Resources, "leases"):
		case slices.Equal(rule.Verbs, []string{"create"}):
		case !slices.Equal(rule.ResourceNames, []string{o.electionID()}):
			t.Errorf("%v on Leases %v, want %q", rule.Verbs, rule.ResourceNames, o.electionID())
		}
	}
	if len(role.Rules) != 3 || !slices.Equal(role.Rules[1].Verbs, []string{"get", "update"}) {
		t.Errorf("patches of config/shards and config/ring expect another order than %v", role.Rules)
	}
}

func TestTheRoleOfShardsNamesTheLeasesOfAllOfThem(t *testing.T) {
	var want []any
	for _, shard := range []string{"one", "two", "rest"} {
		for _, operation := range patchesOf(t, "Deployment", "shards", "managers", shard) {
			flag, _ := operation.Value.(string)
			if !strings.HasPrefix(flag, "--watch-label-selector=") {
				continue
			}
			o, err := parse(t, flag)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, o.electionID())
		}
	}
	operations := patchesOf(t, "Role", "shards")
	if len(want) != 3 || len(operations) != 1 || operations[0].Path != "/rules/1/resourceNames" {
		t.Fatalf("%d selectors, and %+v", len(want), operations)
	}
	if got := operations[0].Value.([]any); !slices.Equal(got, want) {
		t.Errorf("the Role names %v, want %v", got, want)
	}
}
