package pipestoken

import (
	"cmp"
	"errors"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/audit"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// The audit log has one line for each token that is handed out, cleared or refused. A line is
// recorded when it has become true: a token is handed out when the API server has accepted the
// Secret, and cleared when the token is out of the Secret.

// refusing are the reasons for which a PipesToken is refused a token. With all other reasons
// something has failed, and nobody has decided against the PipesToken.
var refusing = sets.New(
	v1alpha1.NotGrantedReason, v1alpha1.EnvironmentNotFoundReason, v1alpha1.EnvironmentNotReadyReason,
	v1alpha1.NotInstalledReason, v1alpha1.NeedsReauthorizationReason, v1alpha1.InactiveReason,
	v1alpha1.IntegrationNotFoundReason, v1alpha1.AccountSelectionRequiredReason, v1alpha1.AuthMethodMismatchReason,
	v1alpha1.RequestRejectedReason, v1alpha1.SecretConflictReason, v1alpha1.InvalidTemplateReason,
	v1alpha1.SuspendedReason,
)

// audited is what the audit log says of a PipesToken, as far as the next line depends on it.
type audited struct {
	// refused is the reason of the last refusal. Empty: the PipesToken is not refused.
	refused string
	// unsure is the line of a write whose response was an error. The write may have succeeded.
	unsure *unsureLine
}

// unsureLine is a line to record once the Secret shows that it is true.
type unsureLine struct {
	line audit.Line
	// hash is the hash of the token that was to be written. Empty: the token was to be removed.
	hash string
}

// auditGranted records that the API server has accepted the Secret with the token.
func (r *Reconciler) auditGranted(done *outcome) {
	if r.Audit == nil {
		return
	}
	r.Audit.Record(r.lineOf(done, audit.Granted))
	r.memory.setAudited(done.seen.token, audited{})
}

// auditCleared records that the token is out of the Secret. before is the Secret as it was.
func (r *Reconciler) auditCleared(done *outcome, before tokensecret.Secret) {
	if r.Audit == nil || !before.MayHoldToken(done.seen.token) {
		return
	}
	r.Audit.Record(r.lineOf(done, audit.Cleared))
	r.forgetUnsure(done)
}

// auditRefused records that the PipesToken gets no token, once for each change of the reason.
func (r *Reconciler) auditRefused(done *outcome) {
	if r.Audit == nil {
		return
	}
	known, ok := r.memory.auditedOf(done.seen.token)
	if !ok {
		// The previous leader has recorded what the status says.
		known.refused = refusedBefore(done.seen.token)
	}
	before, reason := known, done.finding.Reason
	switch {
	case !done.finding.Present():
		known.refused = ""
	case refusing.Has(reason) && reason != known.refused:
		r.Audit.Record(r.lineOf(done, audit.Refused))
		known.refused = reason
	}
	if !ok || known != before {
		r.memory.setAudited(done.seen.token, known)
	}
}

func refusedBefore(token *v1alpha1.PipesToken) string {
	if told := trouble(token.Status.Conditions); told != nil && refusing.Has(told.Reason) {
		return told.Reason
	}
	return ""
}

// auditUnsure keeps the line of a write that has failed with err, if the API server may have made
// the write nevertheless. hash is the hash of the token; empty for a write that removes it.
func (r *Reconciler) auditUnsure(done *outcome, decision audit.Decision, hash string, err error) {
	if r.Audit == nil || !mayHaveWorked(err) {
		return
	}
	before := done.secret // the Secret must be able to show whether the write was made
	if hash == "" && !before.MayHoldToken(done.seen.token) || hash != "" && hash == before.Facts.TokenHash {
		return
	}
	known, _ := r.memory.auditedOf(done.seen.token)
	known.unsure = &unsureLine{line: r.lineOf(done, decision), hash: hash}
	r.memory.setAudited(done.seen.token, known)
}

// mayHaveWorked reports whether a write may have been made although it has failed: its response was
// lost, or the API server itself has failed.
func mayHaveWorked(err error) bool {
	var status apierrors.APIStatus
	return !errors.As(err, &status) || status.Status().Code >= http.StatusInternalServerError
}

// auditSeen records the line of a write that had failed, if the Secret shows that the write has
// succeeded nevertheless.
func (r *Reconciler) auditSeen(seen observation) {
	if r.Audit == nil {
		return
	}
	known, _ := r.memory.auditedOf(seen.token)
	unsure := known.unsure
	if unsure == nil {
		return
	}
	stored := seen.secret.State == tokensecret.Intact && seen.secret.Facts.TokenHash == unsure.hash
	if unsure.hash == "" {
		stored = !seen.secret.MayHoldToken(seen.token)
	}
	if !stored {
		return
	}
	unsure.line.Time = r.Clock.Now().UTC()
	r.Audit.Record(unsure.line)
	known.unsure = nil
	if unsure.line.Decision == audit.Granted {
		known.refused = ""
	}
	r.memory.setAudited(seen.token, known)
}

func (r *Reconciler) forgetUnsure(done *outcome) {
	if known, ok := r.memory.auditedOf(done.seen.token); ok && known.unsure != nil {
		known.unsure = nil
		r.memory.setAudited(done.seen.token, known)
	}
}

// lineOf returns a line about the PipesToken.
func (r *Reconciler) lineOf(done *outcome, decision audit.Decision) audit.Line {
	token, environment := done.seen.token, ""
	if done.seen.origin.name.Name != "" {
		environment = done.seen.origin.name.String()
	}
	line := audit.Line{
		Time: r.Clock.Now().UTC(), Namespace: token.Namespace, Name: token.Name, UID: string(token.UID),
		Slug: token.Spec.Slug, UserID: token.Spec.UserID, OrganizationID: token.Spec.OrganizationID,
		ConnectionOwner: string(cmp.Or(token.Spec.ConnectionOwner, v1alpha1.ConnectionOwnerUser)),
		Environment:     environment, Decision: decision,
		Reason: done.finding.Reason, RequestID: done.finding.RequestID,
	}
	switch decision {
	case audit.Granted:
		line.Reason = cmp.Or(line.Reason, v1alpha1.TokenSyncedReason)
		line.RequestID = done.call.answer.RequestID
	case audit.Cleared:
		line.Reason = cmp.Or(line.Reason, v1alpha1.SecretChangedReason)
	case audit.Refused:
	}
	return line
}

// auditedOf returns what the audit log says of a PipesToken. False: this process has recorded
// nothing.
func (m *memory) auditedOf(token *v1alpha1.PipesToken) (audited, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[client.ObjectKeyFromObject(token)]
	if !ok || e.uid != token.UID || e.audited == nil {
		return audited{}, false
	}
	return *e.audited, true
}

// notRefused is shared by the PipesTokens that have a token, which are most of them.
var notRefused = &audited{}

func (m *memory) setAudited(token *v1alpha1.PipesToken, a audited) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a == *notRefused {
		m.entry(token).audited = notRefused
		return
	}
	m.entry(token).audited = &a
}
