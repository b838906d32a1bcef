package pipestoken

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/audit"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/metrics"
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// errMovedOn: the Secret is not in the state that was observed. The answer is dropped, because
// the Secret may already hold the token of a later answer.
var errMovedOn = errors.New("the Secret has changed meanwhile")

// write puts the token into the Secret with one request. The API server refuses the request if
// the Secret is not in the state that was observed.
func (r *Reconciler) write(ctx context.Context, done *outcome, content tokensecret.Content) {
	stored, err := r.send(ctx, done, content, forReal)
	if apierrors.IsAlreadyExists(err) && !deniedByAdmission(err) {
		r.nameTaken(ctx, done)
		return
	}
	if err != nil {
		r.auditUnsure(done, audit.Granted, content.Facts.TokenHash, err)
		r.notWritten(done, "write", err)
		return
	}
	done.unseen = done.secret.State == tokensecret.Absent
	overwritten := done.secret.State == tokensecret.Intact
	r.wrote(done, stored.Meta)
	r.compare(done, stored)
	r.auditGranted(done)
	switch {
	case stored.Damaged:
		r.discard(ctx, done, stored)
	case overwritten && !done.finding.Present():
		r.unwritten.overwrote(done.seen.token.Namespace, done.seen.local())
	}
}

// discard removes a token from a Secret that admission has changed so much that the operator
// cannot keep it. Without the facts beside the token, its expiry and its owner are unknown. A
// Secret of another type is deleted, because the type of a Secret cannot be changed.
func (r *Reconciler) discard(ctx context.Context, done *outcome, stored Stored) {
	discard := r.clear
	if stored.OtherType {
		discard = r.remove
	}
	if err := discard(ctx, done); err != nil {
		done.finding.Remains = words(err, done.mayQuote)
	}
}

// send creates or patches the Secret so that it holds content.
func (r *Reconciler) send(
	ctx context.Context, done *outcome, content tokensecret.Content, mode mode,
) (Stored, error) {
	wanted := tokensecret.New(done.seen.token, content)
	if done.secret.State == tokensecret.Absent {
		return r.slowly(ctx, done, func() (Stored, error) { return r.Secrets.Create(ctx, wanted, mode) })
	}
	patch, err := done.secret.WritePatch(done.seen.token, content)
	if err != nil {
		return Stored{}, err
	}
	return r.slowly(ctx, done, func() (Stored, error) { return r.Secrets.Patch(ctx, wanted, patch, mode) })
}

// nameTaken finds out who owns the Secret that has the name but is not in the cache. It belongs
// to somebody else, or it belongs to the operator. In the second case it has lost its label, or
// another replica has just created it.
func (r *Reconciler) nameTaken(ctx context.Context, done *outcome) {
	found, err := r.Secrets.Find(ctx, secretName(done.seen.token))
	if err != nil {
		r.notWritten(done, "find", err)
		return
	}
	done.secret = tokensecret.Observe(found, done.seen.token, done.seen.template)
	if done.secret.State == tokensecret.Foreign {
		done.finding = conflict(done.seen.token)
		return
	}
	if found != nil {
		r.memory.wrote(done.seen.token, found, done.seen.local())
	}
	done.finding, done.unfinished = done.seen.standing,
		fmt.Errorf("creating Secret %s: %w", done.seen.token.TargetSecretName(), errMovedOn)
}

// notWritten records an error of the API server. If the Secret has changed since it was
// observed, that is no failure: the next reconcile sees the change.
func (r *Reconciler) notWritten(done *outcome, verb string, err error) {
	if movedOn(err) {
		r.Metrics.Wrote(metrics.Conflict)
		done.finding, done.unfinished = done.seen.standing,
			fmt.Errorf("writing Secret %s: %w", done.seen.token.TargetSecretName(), errMovedOn)
		return
	}
	done.finding = writeFailure(verb, err, done.quotes)
	r.Metrics.Wrote(resultOf(done.finding))
}

// compare records whether admission has changed a write.
func (r *Reconciler) compare(done *outcome, stored Stored) {
	done.accepted = len(stored.Changed) == 0
	if !done.accepted {
		done.finding = changedByAdmission(stored.Changed)
	}
	r.Metrics.Wrote(resultOf(done.finding))
}

// wrote records the Secret as it is after a write.
func (r *Reconciler) wrote(done *outcome, meta *metav1.PartialObjectMetadata) {
	r.memory.wrote(done.seen.token, meta, done.seen.local())
	done.secret = tokensecret.Observe(meta, done.seen.token, done.seen.template)
}

// quotes reports whether a text from the API server, or from a webhook, contains the token. That
// is the token that was just fetched, or the token in the Secret, which is known by its hash.
func (done *outcome) quotes(text string) bool {
	return quotesToken(text, string(done.seen.token.UID), done.call.answer.Token.Value, done.secret.Facts.TokenHash)
}

// relabel updates the labels and annotations of the Secret. If that fails, the token is still
// renewed. After a failed write, relabel waits for the back-off, and then does at least a dry
// run of the write.
func (r *Reconciler) relabel(ctx context.Context, done *outcome) {
	again := isUnwritten(done.seen.standing)
	if again && done.seen.now.Before(done.seen.notBefore()) {
		return
	}
	patch, err := done.secret.MetadataPatch(done.seen.token)
	if err != nil || patch == nil && !again {
		done.unfinished = err
		return
	}
	if again {
		done.attempted, done.finding = true, finding.Finding{}
	}
	if patch == nil {
		r.rehearse(ctx, done)
		return
	}
	stored, err := r.slowly(ctx, done, func() (Stored, error) {
		return r.Secrets.Patch(ctx, done.secret.Relabelled(done.seen.token), patch, forReal)
	})
	if err != nil {
		r.notWritten(done, "relabel", err)
	} else {
		r.wrote(done, stored.Meta)
		r.compare(done, stored)
	}
	done.attempted = done.attempted || isUnwritten(done.finding)
}

// trustOverwrite is how long after a successful overwrite in a namespace the next overwrite
// there needs no dry run. Admission policies change rarely, and many tokens share a namespace.
const trustOverwrite = 10 * time.Second

// mayOverwrite reports whether the token in the Secret may be replaced. While that token is
// valid, mayOverwrite first does a dry run of the write, because admission may now remove data
// that the pods read.
func (r *Reconciler) mayOverwrite(ctx context.Context, done *outcome, before observation) bool {
	rehearsed := isUnwritten(before.standing)
	trusted := r.unwritten.overwroteSince(done.seen.token.Namespace, done.seen.local().Add(-trustOverwrite))
	return rehearsed || trusted || !done.secret.HoldsValidToken(done.seen.now) || r.rehearse(ctx, done)
}

// rehearse does a dry run of the write, with a placeholder in place of the token. It reports
// whether the API server would store the Secret as the operator writes it.
func (r *Reconciler) rehearse(ctx context.Context, done *outcome) bool {
	content, err := placeholderContent(done.after())
	if err != nil {
		return true // the template may work with the real token; judge reports it if not
	}
	stored, err := r.send(ctx, done, content, dryRun)
	if err == nil && stored.OtherType && done.secret.IsOurs() {
		// The Secret has a type that somebody else has chosen, and the type cannot be changed.
		if err = r.remove(ctx, done); err == nil {
			stored, err = r.send(ctx, done, content, dryRun)
		}
	}
	switch {
	case apierrors.IsAlreadyExists(err) && !deniedByAdmission(err):
		r.nameTaken(ctx, done)
		return false
	case err != nil:
		r.notWritten(done, "write", err)
		return false
	case len(stored.Changed) > 0:
		done.finding = changedByAdmission(stored.Changed)
		r.Metrics.Wrote(metrics.Changed)
		return false
	}
	done.accepted = true
	return true
}

// placeholderContent returns the content that a dry run writes: all that comes with a token,
// except the token itself.
func placeholderContent(seen observation) (tokensecret.Content, error) {
	values := tokensecret.Values{
		Token: redact.NewString("rehearsal"), ExpiresAt: seen.now.Add(time.Hour), Scopes: seen.secret.Facts.Scopes,
		Slug: seen.token.Spec.Slug, UserID: seen.token.Spec.UserID, OrganizationID: seen.token.Spec.OrganizationID,
	}
	data, err := seen.template.Render(values)
	if err != nil {
		return tokensecret.Content{}, err
	}
	facts := tokensecret.Facts{
		ExpiresAt:    values.ExpiresAt,
		ObtainedAt:   conditions.Stored(seen.now),
		TemplateHash: seen.template.Hash(),
		Scopes:       values.Scopes,
		TokenHash:    tokensecret.HashToken(string(seen.token.UID), values.Token),
	}
	return tokensecret.Content{Facts: facts, Data: data}, nil
}

// patient is how long a write may take before the status reports that it has not ended.
const patient = 3 * time.Second

// slowly makes a write. If the write takes long, slowly reports that in the status while the
// write is still running. An admission webhook may take 30 seconds.
func (r *Reconciler) slowly(
	ctx context.Context, done *outcome, write func() (Stored, error),
) (Stored, error) {
	after := cmp.Or(r.SlowWrite, patient)
	if after < 0 {
		return write()
	}
	meanwhile := *done
	reported := make(chan struct{})
	// A request takes real time, even if the clock of the reconciler is a fake.
	timer := clock.RealClock{}.AfterFunc(after, func() {
		defer close(reported)
		r.reportSlowWrite(ctx, meanwhile)
	})
	stored, err := write()
	if !timer.Stop() {
		<-reported // only one status is written at a time
	}
	return stored, err
}

// resultOf returns the result of a write. found is the finding that the write led to, if any.
func resultOf(found finding.Finding) metrics.WriteResult {
	switch found.Reason {
	case v1alpha1.SecretRejectedReason:
		return metrics.Rejected
	case v1alpha1.SecretNotWrittenReason:
		return metrics.Failed
	case v1alpha1.SecretChangedReason:
		return metrics.Changed
	default:
		return metrics.Written
	}
}
