//go:build e2e

package e2e

import (
	"errors"
	"io"
	"strings"
	"sync"
	"text/tabwriter"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// matrix is a readable table of rights. The first line has the verbs. Each other line has a
// subject, such as a resource, and an answer for each verb. A dot marks a verb that does not
// apply or is not tested.
type matrix struct {
	verbs []string
	rows  []matrixRow
}

type matrixRow struct {
	subject string
	answers []string
}

const notAsked = "."

// parseMatrix parses the format of String.
func parseMatrix(text string) matrix {
	GinkgoHelper()
	var m matrix
	for line := range strings.Lines(strings.TrimSpace(text)) {
		words := strings.Fields(line)
		if m.verbs == nil {
			m.verbs = words
			continue
		}
		subject := len(words) - len(m.verbs)
		Expect(subject).To(BeNumerically(">", 0), line)
		m.rows = append(m.rows, matrixRow{strings.Join(words[:subject], " "), words[subject:]})
	}
	return m
}

func (m matrix) String() string {
	lines := []string{"\t" + strings.Join(m.verbs, "\t")}
	for _, row := range m.rows {
		lines = append(lines, row.subject+"\t"+strings.Join(row.answers, "\t"))
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	Expect(errors.Join(err, w.Flush())).To(Succeed())
	return text.String()
}

// answered returns the matrix with the answers of ask, which several goroutines call.
func (m matrix) answered(ask func(verb, subject string) string) matrix {
	answers := matrix{verbs: m.verbs}
	var done sync.WaitGroup
	places := make(chan struct{}, 4) // each kubectl is a separate process
	for _, row := range m.rows {
		got := matrixRow{row.subject, make([]string, len(m.verbs))}
		answers.rows = append(answers.rows, got)
		for i, verb := range m.verbs {
			if got.answers[i] = notAsked; row.answers[i] == notAsked {
				continue
			}
			done.Go(func() {
				defer GinkgoRecover()
				places <- struct{}{}
				defer func() { <-places }()
				got.answers[i] = ask(verb, row.subject)
			})
		}
	}
	done.Wait()
	return answers
}

// canI runs kubectl auth can-i. what is a resource, resource/subresource or path, or a resource
// and an object name separated by a space.
func canI(who, verb, what string, where ...string) bool {
	GinkgoHelper()
	args := append([]string{"auth", "can-i", verb, strings.ReplaceAll(what, " ", "/"), "--as=" + who}, where...)
	if resource, subresource, found := strings.Cut(what, "/"); found && resource != "" {
		args[3], args = resource, append(args, "--subresource="+subresource)
	}
	stdout, stderr, _ := runKubectl("", args...)
	answer, _, _ := strings.Cut(strings.TrimSpace(stdout), " ")
	Expect(answer).To(Or(Equal("yes"), Equal("no")), "kubectl %s: %s", strings.Join(args, " "), stderr)
	return answer == "yes"
}

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
