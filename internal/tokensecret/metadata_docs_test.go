package tokensecret

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/reference/api.md lists the domains for users. The endings below identify the rows of the
// list.
func TestTheDocumentedDomainsAreThoseThatAreRefused(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	var domains []string
	for _, r := range readers {
		domains = append(domains, r.domain)
	}
	if !slices.IsSorted(domains) {
		t.Errorf("not in order: %q", domains)
	}
	for ending, want := range map[string][]string{
		"| refused by the API server |": reservedDomains,
		"| `InvalidTemplate`, unless the operator was started with `--allowed-secret-metadata` |": domains,
	} {
		var got []string
		for line := range strings.Lines(string(text)) {
			if row, found := strings.CutSuffix(strings.TrimSpace(line), ending); found {
				for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row, -1) {
					got = append(got, quoted[1])
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s\ndocumented %q\nand refused %q", ending, got, want)
		}
	}
}
