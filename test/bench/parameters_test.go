package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// withAssets creates empty files for the programs of a control plane.
func withAssets(t *testing.T) {
	t.Helper()
	directory := t.TempDir()
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if err := os.WriteFile(filepath.Join(directory, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KUBEBUILDER_ASSETS", directory)
}

func TestFlagsBecomeParameters(t *testing.T) {
	withAssets(t)
	p, err := parseParameters([]string{"--n=5", "--lifetime=1m", "--lead=0s", "--scenarios=cold, budget,"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if p.Objects != 5 || p.Lifetime.Duration != time.Minute ||
		!p.wants("cold") || !p.wants("budget") || p.wants("rotation") {
		t.Errorf("got %+v", p)
	}
}

func TestAScenarioIsMadeAsOftenAsItIsNamed(t *testing.T) {
	withAssets(t)
	p, err := parseParameters([]string{"--scenarios=failover,restart,budget,restart,budget,restart"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, each := range p.wanted() {
		names = append(names, each.name)
	}
	if want := []string{"cold", "restart", "restart", "restart", "failover"}; !slices.Equal(names, want) ||
		p.times("budget") != 2 {
		t.Errorf("got %v and budget %d times", names, p.times("budget"))
	}
}

func TestTheLeadMayBeAlways(t *testing.T) {
	withAssets(t)
	p, err := parseParameters([]string{"--lead=always", "--lifetime=1m"}, io.Discard)
	if err != nil || !p.Lead.always || p.Lead.String() != "always" {
		t.Errorf("got %+v, %v", p.Lead, err)
	}
	if p, err = parseParameters(nil, io.Discard); err != nil || p.Lead.String() != "1m0s" {
		t.Errorf("by default: got %+v, %v", p.Lead, err)
	}
}

func TestMistakesInFlagsAreNamed(t *testing.T) {
	withAssets(t)
	for flag, want := range map[string]string{
		"--n=0":                         "--n: 0 is too few",
		"--lifetime=1s":                 "too short to be renewed in",
		"--lead=10m":                    "is not within the lifetime",
		"--latency=-1s":                 "is negative",
		"--scenarios=warm":              `there is no "warm": use some of cold,`,
		"--scenarios=cold,restart,cold": "cold is the beginning of a run and there is one of it",
		"more":                          "all options are flags",
	} {
		if _, err := parseParameters([]string{flag}, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", flag, err)
		}
	}
	t.Setenv("KUBEBUILDER_ASSETS", "")
	if _, err := parseParameters(nil, io.Discard); err == nil || !strings.Contains(err.Error(), "run make bench") {
		t.Errorf("without a control plane: got %v", err)
	}
}
