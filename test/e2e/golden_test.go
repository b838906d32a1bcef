//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// expectGolden compares the output for a user with a file in testdata. With UPDATE_GOLDEN=1 it
// writes the file instead. Review the file before you commit it.
func expectGolden(name, text string) {
	GinkgoHelper()
	path := filepath.Join(with.Repository, "test", "e2e", "testdata", name+".golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		Expect(os.MkdirAll(filepath.Dir(path), 0o755)).To(Succeed())
		Expect(os.WriteFile(path, []byte(text), 0o644)).To(Succeed())
		return
	}
	skipForOtherServer()
	want, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred(), "run this with UPDATE_GOLDEN=1, and read what it writes")
	if text != string(want) {
		Fail(difference(path, strings.Split(string(want), "\n"), strings.Split(text, "\n")))
	}
}

// skipForOtherServer skips the spec on a cluster with another Kubernetes version, because its
// API server may word messages differently.
func skipForOtherServer() {
	GinkgoHelper()
	type version struct{ Major, Minor string }
	var versions struct{ ClientVersion, ServerVersion version }
	Expect(json.Unmarshal([]byte(kubectl("version", "--output=json")), &versions)).To(Succeed())
	if versions.ClientVersion != versions.ServerVersion {
		Skip(fmt.Sprintf("goldens are of Kubernetes %s.%s", versions.ClientVersion.Major, versions.ClientVersion.Minor))
	}
}

// difference describes the first line that has changed.
func difference(path string, want, got []string) string {
	want, got = append(want, "(the end)"), append(got, "(the end)")
	line := 0
	for want[line] == got[line] {
		line++
	}
	return fmt.Sprintf("line %d of %s was\n%s\nand is now\n%s\nIf that is better, run this with UPDATE_GOLDEN=1. All there is:\n%s",
		line+1, path, want[line], got[line], strings.Join(got, "\n"))
}

// transcript runs kubectl commands and returns them with their output, as a user sees them. It
// removes single quotes, which are only for a shell.
func transcript(commands ...string) string {
	GinkgoHelper()
	var seen []string
	for _, command := range commands {
		stdout, stderr, err := runKubectl("", strings.Fields(strings.ReplaceAll(command, "'", ""))...)
		entry := "$ kubectl " + command + "\n" + stdout + stderr
		if err != nil {
			entry += "(" + err.Error() + ")\n"
		}
		seen = append(seen, entry)
	}
	return strings.Join(seen, "\n")
}
