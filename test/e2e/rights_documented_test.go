//go:build e2e

package e2e

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// documentedRights returns the rights in the section "Rights of the operator" of
// docs/explanation/security.md: for all namespaces, and for pipes-system only.
func documentedRights() (everywhere, own []string) {
	GinkgoHelper()
	_, section, _ := strings.Cut(page("docs/explanation/security.md"), "\n## Rights of the operator\n")
	section, _, _ = strings.Cut(section, "\n## ")
	first, second, found := strings.Cut(section, "\nIn `pipes-system` only:\n")
	Expect(found).To(BeTrue(), "the page has another form")
	Expect(second).To(ContainSubstring("`pipes-operator-metrics-auth`: create `tokenreviews` and `subjectaccessreviews`"))
	metrics := []string{"create tokenreviews.authentication.k8s.io", "create subjectaccessreviews.authorization.k8s.io"}
	return append(documentedTable(first), metrics...), documentedTable(second)
}

// documentedTable reads the rows of a Markdown table. Its last three columns are resources,
// verbs and a reason.
func documentedTable(text string) []string {
	GinkgoHelper()
	groups := map[string]string{"pipestokens": "pipes.workos.com", "pipesenvironments": "pipes.workos.com", "leases": "coordination.k8s.io"}
	var pairs []string
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || !strings.Contains(cells[len(cells)-3], "`") {
			continue
		}
		resources, verbs := cells[len(cells)-3], cells[len(cells)-2]
		for resource := range strings.SplitSeq(resources, ",") {
			name, note, _ := strings.Cut(strings.Trim(strings.TrimSpace(resource), "`"), "`")
			for _, full := range inGroups(name, note, groups) {
				for verb := range strings.SplitSeq(verbs, ",") {
					pairs = append(pairs, strings.TrimSpace(verb)+" "+full)
				}
			}
		}
	}
	return pairs
}

// inGroups returns the full names of a resource. The page names the API groups only if a
// resource name is ambiguous. It names an object if the right is for that object only.
func inGroups(resource, note string, groups map[string]string) []string {
	base, subresource, _ := strings.Cut(resource, "/")
	full := func(group string) string {
		return strings.TrimSuffix(strings.TrimSuffix(base+"."+group, ".")+"/"+subresource, "/")
	}
	if object, named := strings.CutPrefix(strings.TrimSpace(note), "named `"); named {
		return []string{full(groups[base]) + " " + object}
	}
	switch strings.TrimSpace(note) {
	case "(core and events.k8s.io)":
		return []string{full(""), full("events.k8s.io")}
	case "(events.k8s.io)":
		return []string{full("events.k8s.io")}
	default:
		return []string{full(groups[base])}
	}
}
