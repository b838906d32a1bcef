package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const token = `
apiVersion: pipes.workos.com/v1alpha1
kind: PipesToken
metadata: {name: alice, namespace: agents}
spec: {slug: github, userID: user_01}
`

func TestWhatTheServerDoesNotTakeIsNamed(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make test")
	}
	manifest := token
	want := []string{}
	for i, broken := range []struct{ old, changed, message string }{
		{"slug:", "nothing: 1, slug:", `unknown field "spec.nothing"`},
		{"user_01", "[user_01]", "spec.userID: Invalid value"},
		{"slug: github", `slug: "a b"`, "spec.slug: Invalid value"},
		{"kind: PipesToken", "kind: PipesThing", `no matches for kind "PipesThing"`},
		{token, "apiVersion: v1\nkind: Service\nmetadata: {name: alice}\nspec: {ports: [{port: a}]}\n", "port"},
	} {
		name := "broken-" + string(rune('a'+i))
		text := strings.ReplaceAll(strings.ReplaceAll(token, broken.old, broken.changed), "alice", name)
		manifest += "---\n" + text
		want = append(want, broken.message)
	}
	file := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), filepath.Join("..", "..", "config", "crd", "bases"), []string{file})
	if err == nil {
		t.Fatal("everything was accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("got %d errors, want %d:\n%v", len(lines), len(want), err)
	}
	for i, line := range lines {
		if !strings.Contains(line, "broken-"+string(rune('a'+i))) || !strings.Contains(line, want[i]) {
			t.Errorf("got %s, want %s", line, want[i])
		}
	}
}
