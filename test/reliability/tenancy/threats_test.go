//go:build reliability

package tenancy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
)

// repository is the path of the root of the repository, relative to this package.
var repository = filepath.Join("..", "..", "..")

const here = "test/reliability/tenancy/"

var (
	threatHeading = regexp.MustCompile(`(?m)^### (T\d+)\. `)
	testFile      = regexp.MustCompile("`([a-z0-9]+/[a-z0-9_./]+_test\\.go)`")
)

// expectThreatModel compares the attacks with docs/explanation/threat-model.md. The section of
// the threat of each attack must name the file of the attack. Each file that a section names must
// exist; if it is a file of this package, it must contain an attack with the number of that
// threat.
func expectThreatModel(t *testing.T, report Report) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "docs", "explanation", "threat-model.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := namedFiles(string(text))
	attacked := map[string]bool{}
	for _, spec := range report.SpecReports {
		for _, threat := range spec.Labels() {
			file := here + filepath.Base(spec.LeafNodeLocation.FileName)
			attacked[threat+" "+file] = true
			if !named[threat+" "+file] {
				t.Errorf("docs/explanation/threat-model.md: %s does not name %s, which has %q", threat, file, spec.LeafNodeText)
			}
		}
	}
	for place := range named {
		threat, file, _ := strings.Cut(place, " ")
		if _, err := os.Stat(filepath.Join(repository, file)); err != nil {
			t.Errorf("docs/explanation/threat-model.md: %s names %s, which is not there", threat, file)
		}
		if strings.HasPrefix(file, here) && !attacked[place] {
			t.Errorf("docs/explanation/threat-model.md: %s names %s, which has no attack of that number", threat, file)
		}
	}
}

// namedFiles has a key "T1 path/of/a_test.go" for each test file that the section of a threat
// names.
func namedFiles(text string) map[string]bool {
	named := map[string]bool{}
	headings := threatHeading.FindAllStringSubmatchIndex(text, -1)
	for i, heading := range headings {
		end := len(text)
		if i+1 < len(headings) {
			end = headings[i+1][0]
		}
		for _, file := range testFile.FindAllStringSubmatch(text[heading[1]:end], -1) {
			named[text[heading[2]:heading[3]]+" "+file[1]] = true
		}
	}
	return named
}
