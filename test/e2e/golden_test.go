//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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

// variable lists the text that changes from run to run, and its replacement. A replacement has
// the same width inside a column, so that a golden file shows the real layout.
var variable = []struct {
	what  *regexp.Regexp
	stead string
}{
	{regexp.MustCompile(`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z`), "YYYY-MM-DDThh:mm:ssZ"},
	{regexp.MustCompile(`req_sim_\d{8}`), "req_sim_00000000"},
	{regexp.MustCompile(`(Resource Version: +)\d+`), "${1}0"},
	{regexp.MustCompile(`(UID: +)[-0-9a-f]{36}`), "${1}00000000-0000-0000-0000-000000000000"},
	{regexp.MustCompile(`(?m) +$`), ""}, // invisible, and editors remove it
}

// steady returns a transcript without the parts that change from run to run. names are random
// parts of names.
func steady(text string, names ...string) string {
	for _, name := range names {
		text = strings.ReplaceAll(text, name, strings.Repeat("x", len(name)))
	}
	text = sameWidth(text, with.Simulator, "simulator:8089")
	for _, v := range variable {
		text = v.what.ReplaceAllString(text, v.stead)
	}
	for _, column := range []string{"AGE", "Age", "LAST SEEN"} {
		text = steadyColumn(text, column, "5s")
	}
	return text
}

// sameWidth replaces a text within a column and keeps the width of the column if possible.
func sameWidth(text, old, stead string) string {
	return regexp.MustCompile(regexp.QuoteMeta(old)+" *").ReplaceAllStringFunc(text, func(found string) string {
		if padded := strings.TrimRight(found, " "); padded == found {
			return stead
		}
		return stead + strings.Repeat(" ", max(1, len(found)-len(stead)))
	})
}

// heading matches a heading of a table: words with single spaces between them.
var heading = regexp.MustCompile(`[^ ]+( [^ ]+)*`)

// bounds returns where a column starts and where the next column starts. to is -1 for the last
// column. from is -1 if the line does not have this heading.
func bounds(line, column string) (from, to int) {
	found := heading.FindAllStringIndex(line, -1)
	for i, at := range found {
		if line[at[0]:at[1]] != column || len(found) < 3 {
			continue
		}
		if i+1 < len(found) {
			return at[0], found[i+1][0]
		}
		return at[0], -1
	}
	return -1, -1
}

// steadyColumn replaces all cells of a column by the same value, in every table of a text. It
// adjusts the width of the column.
func steadyColumn(text, column, value string) string {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		from, to := bounds(lines[i], column)
		if from < 0 {
			continue
		}
		end := i
		for end < len(lines) && len(lines[end]) > from {
			end++
		}
		rewrite(lines[i:end], from, to, value)
		i = end - 1
	}
	return strings.Join(lines, "\n")
}

func rewrite(table []string, from, to int, value string) {
	column := table[0][from:]
	if to >= 0 {
		column = table[0][from:to]
	}
	name := strings.TrimRight(column, " ")
	longest := 0
	for _, line := range table {
		longest = max(longest, len(cell(line, from, to)))
	}
	for i, line := range table {
		stead := value
		if is := cell(line, from, to); i == 0 || strings.Trim(is, "-") == "" {
			stead = name
			if i > 0 {
				stead = strings.Repeat("-", len(name))
			}
		}
		if to < 0 {
			table[i] = line[:from] + stead
			continue
		}
		gap := to - from - longest
		table[i] = line[:from] + stead + strings.Repeat(" ", max(len(name), len(value))+gap-len(stead)) + line[to:]
	}
}

func cell(line string, from, to int) string {
	if to < 0 {
		return strings.TrimSpace(line[from:])
	}
	return strings.TrimSpace(line[from:to])
}

// rows parses the table at the start of a text. It returns the cells of each row by heading.
func rows(table string) []map[string]string {
	lines := strings.Split(strings.TrimSpace(table), "\n")
	headings := heading.FindAllString(lines[0], -1)
	Expect(len(lines)).To(BeNumerically(">", 1), table)
	var found []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for _, h := range headings {
			from, to := bounds(lines[0], h)
			if from < len(line) {
				row[h] = cell(line, from, min(to, len(line)))
			}
		}
		found = append(found, row)
	}
	return found
}
