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
