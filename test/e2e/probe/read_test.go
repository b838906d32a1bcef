package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// volume is a directory like a Secret volume of the kubelet: the files are links through the
// link ..data.
type volume struct {
	t    *testing.T
	path string
}

func newVolume(t *testing.T) volume {
	t.Helper()
	v := volume{t, t.TempDir()}
	v.put("gho_canary_github_1_0000", "first")
	for _, file := range []string{"access_token", "expires_at"} {
		v.must(os.Symlink(filepath.Join("..data", file), filepath.Join(v.path, file)))
	}
	return v
}

// put replaces both files atomically, in the same order of steps as the kubelet.
func (v volume) put(token, expiry string) {
	v.t.Helper()
	directory, err := os.MkdirTemp(v.path, "..")
	v.must(err)
	v.must(os.WriteFile(filepath.Join(directory, "access_token"), []byte(token), 0o600))
	v.must(os.WriteFile(filepath.Join(directory, "expires_at"), []byte(expiry), 0o600))
	old, _ := os.Readlink(filepath.Join(v.path, "..data"))
	v.must(os.Symlink(filepath.Base(directory), filepath.Join(v.path, "..data_tmp")))
	v.must(os.Rename(filepath.Join(v.path, "..data_tmp"), filepath.Join(v.path, "..data")))
	if old != "" {
		v.must(os.RemoveAll(filepath.Join(v.path, old)))
	}
}

func (v volume) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

// changingAfterTheFirstFile runs a shell command that sets token and expires_at, and changes the
// Secret after the command has read the first file. It returns the values that the command has
// set.
func (v volume) changingAfterTheFirstFile(command string) (output string, err error) {
	v.t.Helper()
	const pausing = `cat() { command cat "$@" || return; echo >&3; read -r _; }; `
	cmd := exec.CommandContext(v.t.Context(), "sh", "-c", pausing+command+` && echo "$token $expires_at"`)
	input, err := cmd.StdinPipe()
	v.must(err)
	paused, reports, err := os.Pipe()
	v.must(err)
	cmd.ExtraFiles = []*os.File{reports}
	var out strings.Builder
	cmd.Stdout = &out
	v.must(cmd.Start())
	v.must(reports.Close())
	_, err = bufio.NewReader(paused).ReadString('\n')
	v.must(err)
	v.put("gho_canary_github_2_0000", "second")
	_, err = io.WriteString(input, "\n\n")
	v.must(err)
	err = cmd.Wait()
	return strings.TrimSpace(out.String()), err
}

// fromTheREADME returns the command of the README that reads both files.
func fromTheREADME(t *testing.T, directory string) string {
	t.Helper()
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^ *(cd /var/run/pipes/github/\.\.data && .+)$`).FindSubmatch(text)
	if found == nil {
		t.Fatal("README.md has no command that reads both files")
	}
	return strings.ReplaceAll(string(found[1]), "/var/run/pipes/github", directory)
}

func TestTheCommandInTheREADMENeverMixesTwoTokens(t *testing.T) {
	v := newVolume(t)
	command := fromTheREADME(t, v.path)
	output, err := v.changingAfterTheFirstFile(command)
	if err == nil {
		t.Errorf("it succeeded while the Secret changed, with %q", output)
	}
	again, err := exec.CommandContext(t.Context(), "sh", "-c", command+` && echo "$token $expires_at"`).Output()
	if got, want := string(again), "gho_canary_github_2_0000 second\n"; err != nil || got != want {
		t.Errorf("the second time it got %q (%v), want %q", got, err, want)
	}
	// The command protects against this problem. This part also proves that the test detects it.
	v = newVolume(t)
	output, err = v.changingAfterTheFirstFile("token=$(cat " + v.path + "/access_token) && expires_at=$(cat " + v.path + "/expires_at)")
	if want := "gho_canary_github_1_0000 second"; err != nil || output != want {
		t.Errorf("file by file it got %q (%v), want %q", output, err, want)
	}
}

func TestLookTellsATokenFromNone(t *testing.T) {
	v := newVolume(t)
	expect := func(want Sight) {
		t.Helper()
		if got, err := look(v.path); err != nil || got != want {
			t.Errorf("got %+v (%v), want %+v", got, err, want)
		}
	}
	expect(Sight{Serial: 1, ExpiresAt: "first"})
	v.put("gho_canary_github_12_0000", "second\n")
	expect(Sight{Serial: 12, ExpiresAt: "second"})
	now, err := filepath.EvalSymlinks(filepath.Join(v.path, "..data"))
	v.must(err)
	v.must(os.Remove(filepath.Join(now, "access_token")))
	if got, err := look(v.path); err == nil {
		t.Errorf("an expiry without a token is %+v", got)
	}
	v.must(os.Remove(filepath.Join(now, "expires_at")))
	expect(Sight{})
	v.put("some other token", "")
	if got, err := look(v.path); err == nil || strings.Contains(err.Error(), "other") {
		t.Errorf("a token that is none of the simulator's is %+v (%v)", got, err)
	}
}
