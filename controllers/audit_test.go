package controllers_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/audit"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness/canary"
)

// auditLog is an audit log in memory.
type auditLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *auditLog) Write(lines []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(lines)
}

// String returns the text of all lines.
func (l *auditLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *auditLog) lines() []audit.Line {
	GinkgoHelper()
	var lines []audit.Line
	for text := range strings.Lines(l.String()) {
		var line audit.Line
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		Expect(decoder.Decode(&line)).To(Succeed(), text)
		lines = append(lines, line)
	}
	return lines
}

// check expects that no line has a secret, that every line says who, what and why, and that the
// lines of one PipesToken are in order: a token that was not handed out is not cleared twice.
func (l *auditLog) check() {
	GinkgoHelper()
	Expect(canary.Find(l.String())).To(BeEmpty(), "the audit log tells a secret")
	last := map[string]audit.Line{}
	for _, line := range l.lines() {
		Expect([]string{line.Namespace, line.Name, line.UID, line.Slug, line.UserID, line.ConnectionOwner, line.Reason}).
			NotTo(ContainElement(BeEmpty()), "%+v", line)
		before := last[line.UID]
		Expect(line.Time).To(BeTemporally(">=", before.Time), "%+v", line)
		if line.Decision == audit.Refused {
			Expect(before.Decision != audit.Refused || before.Reason != line.Reason).To(BeTrue(), "said twice: %+v", line)
		}
		last[line.UID] = line
	}
}

// decisions returns what the lines about a PipesToken say: "granted TokenSynced".
func (l *auditLog) decisions(token *v1alpha1.PipesToken) (decisions []string) {
	GinkgoHelper()
	for _, line := range l.lines() {
		if line.UID == string(token.UID) {
			decisions = append(decisions, string(line.Decision)+" "+line.Reason)
		}
	}
	return decisions
}

var _ = Describe("The audit log", func() {
	It("tells of each token that is handed out, cleared and refused, once and in order", func() {
		w := running()
		token := w.missing("alice")
		w.connect(token)
		w.timeline.advance(poll * 2)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		environment := w.environment()
		w.edit(environment, func() { environment.Spec.Grants = nil })
		w.waitForReason(token, v1alpha1.NotGrantedReason)
		w.restart()
		w.waitForEnvironment(v1alpha1.AvailableReason)
		w.edit(environment, func() { environment.Spec.Grants = w.environment().Spec.Grants })
		w.waitForEnvironment(v1alpha1.AvailableReason)
		w.timeline.advance(poll)
		w.waitForReason(token, v1alpha1.TokenSyncedReason)
		w.upstream.SetState(idOf(token), workossim.NeedsReauthorization)
		w.timeline.advance(poll)
		w.edit(token, func() { token.Annotations = map[string]string{v1alpha1.RefreshRequestedAtAnnotation: "now"} })
		w.waitForReason(token, v1alpha1.NeedsReauthorizationReason)

		Eventually(func() []string { return w.audit.decisions(token) }, soon, often).Should(Equal([]string{
			"refused NotInstalled", "granted TokenSynced", "refused NotGranted", "cleared NotGranted",
			"granted TokenSynced", "refused NeedsReauthorization", "cleared NeedsReauthorization",
		}))
		first := w.audit.lines()[0]
		Expect(first.Environment).To(Equal(w.home + "/" + environmentID))
		Expect(first.RequestID).NotTo(BeEmpty())
		Expect(first.OrganizationID).To(Equal("org_1"))
	})
})
