package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// errMovedOn: the Secret is not as it was observed. The answer is dropped, because the Secret may
// hold the token of a later one already.
var errMovedOn = errors.New("the Secret has changed meanwhile")

// write puts the token into the Secret, in one request that the API server refuses if the Secret is not as it was observed.
func (r *PipesTokenReconciler) write(ctx context.Context, done *outcome, content tokensecret.Content) {
	stored, err := r.send(ctx, done, content, forReal)
	if apierrors.IsAlreadyExists(err) && !deniedByAdmission(err) {
		r.nameTaken(ctx, done)
		return
	}
	if err != nil {
		r.notWritten(done, "write", err)
		return
	}
	done.unseen = done.secret.State == tokensecret.Absent
	overwritten := done.secret.State == tokensecret.Intact
	r.wrote(done, stored.Meta)
	r.compare(done, stored)
	switch {
	case stored.Damaged:
		r.discard(ctx, done, stored)
	case overwritten && !done.finding.present():
		r.unwritten.overwrote(done.token.Namespace, done.local())
	}
}

// discard takes a token out again that admission has left in a Secret which the operator cannot keep:
// without what stands beside the token, nobody would know when it expires, or whose it is. A Secret of
// another type is deleted: its type cannot be changed any more.
func (r *PipesTokenReconciler) discard(ctx context.Context, done *outcome, stored Stored) {
	discard := r.clear
	if stored.OtherType {
		discard = r.remove
	}
	if err := discard(ctx, done); err != nil {
		done.keep(words(err, done.mayQuote))
	}
}

// send creates or patches the Secret so that it holds content.
func (r *PipesTokenReconciler) send(ctx context.Context, done *outcome, content tokensecret.Content, mode mode) (Stored, error) {
	wanted := tokensecret.New(done.token, content)
	if done.secret.State == tokensecret.Absent {
		return r.slowly(ctx, done, func() (Stored, error) { return r.Secrets.Create(ctx, wanted, mode) })
	}
	patch, err := done.secret.WritePatch(done.token, content)
	if err != nil {
		return Stored{}, err
	}
	return r.slowly(ctx, done, func() (Stored, error) { return r.Secrets.Patch(ctx, wanted, patch, mode) })
}

// nameTaken finds out whose the Secret is that has the name and that the cache does not show: somebody
// else's; or the operator's own, without its label, or just created by another replica.
func (r *PipesTokenReconciler) nameTaken(ctx context.Context, done *outcome) {
	found, err := r.Secrets.Find(ctx, secretName(done.token))
	if err != nil {
		r.notWritten(done, "find", err)
		return
	}
	if done.secret = tokensecret.Observe(found, done.token, done.template); done.secret.State == tokensecret.Foreign {
		done.finding = conflict(done.token)
		return
	}
	if found != nil {
		r.memory.wrote(done.token, found, done.local())
	}
	done.finding, done.unfinished = done.standing, fmt.Errorf("creating Secret %s: %w", done.token.TargetSecretName(), errMovedOn)
}

// notWritten takes note of an error of the API server. A Secret that has moved on is no failure: the
// next reconcile sees it.
func (r *PipesTokenReconciler) notWritten(done *outcome, verb string, err error) {
	if movedOn(err) {
		r.Metrics.Wrote(writeConflict)
		done.finding, done.unfinished = done.standing, fmt.Errorf("writing Secret %s: %w", done.token.TargetSecretName(), errMovedOn)
		return
	}
	done.finding = writeFailure(verb, err, done.quotes)
	r.Metrics.Wrote(resultOf(done.finding))
}

// compare takes note of what admission has made of a write.
func (r *PipesTokenReconciler) compare(done *outcome, stored Stored) {
	done.taken = len(stored.Changed) == 0
	if !done.taken {
		done.finding = changedByAdmission(stored.Changed)
	}
	r.Metrics.Wrote(resultOf(done.finding))
}

// wrote takes note of how a write has left the Secret.
func (r *PipesTokenReconciler) wrote(done *outcome, meta *metav1.PartialObjectMetadata) {
	r.memory.wrote(done.token, meta, done.local())
	done.secret = tokensecret.Observe(meta, done.token, done.template)
}

// quotes says whether a text of the API server, or of a webhook behind it, holds the token: the one
// that was just fetched, or the one in the Secret, which is known by its hash.
func (done *outcome) quotes(text string) bool {
	return quotesToken(text, string(done.token.UID), done.answer.Token.Value, done.secret.Facts.TokenHash)
}

// relabel brings labels and annotations up to date. That they are not does not keep the token from
// being renewed. After a write that failed it waits for the back-off, and tries at least the write out.
func (r *PipesTokenReconciler) relabel(ctx context.Context, done *outcome) {
	again := done.standing.unwritten()
	if again && done.now.Before(done.notBefore()) {
		return
	}
	patch, err := done.secret.MetadataPatch(done.token)
	if err != nil || patch == nil && !again {
		done.unfinished = err
		return
	}
	if again {
		done.tried, done.finding = true, finding{}
	}
	if patch == nil {
		r.rehearse(ctx, done)
		return
	}
	stored, err := r.slowly(ctx, done, func() (Stored, error) {
		return r.Secrets.Patch(ctx, done.secret.Relabelled(done.token), patch, forReal)
	})
	if err != nil {
		r.notWritten(done, "relabel", err)
	} else {
		r.wrote(done, stored.Meta)
		r.compare(done, stored)
	}
	done.tried = done.tried || done.finding.unwritten()
}

// trustOverwrite is how long after a good overwrite in a namespace the next one there is made without
// a rehearsal. Admission policies change rarely, and many tokens share a namespace.
const trustOverwrite = 10 * time.Second

// mayOverwrite says whether the token in the Secret may be replaced. While it is valid, the write is
// rehearsed first: admission may have begun to remove what the pods read.
func (r *PipesTokenReconciler) mayOverwrite(ctx context.Context, done *outcome, before observation) bool {
	rehearsed := before.standing.unwritten()
	trusted := r.unwritten.overwroteSince(done.token.Namespace, done.local().Add(-trustOverwrite))
	return rehearsed || trusted || !done.secret.HoldsValidToken(done.now) || r.rehearse(ctx, done)
}

// rehearse has the API server do all but store the Secret, with a placeholder in place of the token,
// and says whether it would store it as it is written.
func (r *PipesTokenReconciler) rehearse(ctx context.Context, done *outcome) bool {
	content, err := placeholderContent(done.observation)
	if err != nil {
		return true // The real token may pass: judge tells.
	}
	stored, err := r.send(ctx, done, content, dryRun)
	if err == nil && stored.OtherType && done.secret.IsOurs() {
		// It is there with a type that somebody else has chosen, which cannot be changed.
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
		r.Metrics.Wrote(writeChanged)
		return false
	}
	done.taken = true
	return true
}

// placeholderContent is what a rehearsal writes: all that a token brings, but a token.
func placeholderContent(seen observation) (tokensecret.Content, error) {
	values := tokensecret.Values{
		AccessToken: redact.NewString("rehearsal"), ExpiresAt: seen.now.Add(time.Hour), Scopes: seen.secret.Facts.Scopes,
		Slug: seen.token.Spec.Slug, UserID: seen.token.Spec.UserID, OrganizationID: seen.token.Spec.OrganizationID,
	}
	data, err := seen.template.Render(values)
	if err != nil {
		return tokensecret.Content{}, err
	}
	facts := tokensecret.Facts{
		ExpiresAt: values.ExpiresAt, ObtainedAt: inSeconds(seen.now), TemplateHash: seen.template.Hash(), Scopes: values.Scopes,
		TokenHash: tokensecret.HashToken(string(seen.token.UID), values.AccessToken),
	}
	return tokensecret.Content{Facts: facts, Data: data}, nil
}

// patient is how long a write may take before the status tells that it has not ended.
const patient = 3 * time.Second

// slowly makes a write, and reports one that takes long while it is still under way: an admission
// webhook may take 30 seconds.
func (r *PipesTokenReconciler) slowly(ctx context.Context, done *outcome, write func() (Stored, error)) (Stored, error) {
	after := cmp.Or(r.SlowWrite, patient)
	if after < 0 {
		return write()
	}
	meanwhile := *done
	reported := make(chan struct{})
	timer := clock.RealClock{}.AfterFunc(after, func() { // a request takes real time, whatever clock is injected
		defer close(reported)
		r.reportSlowWrite(ctx, meanwhile)
	})
	stored, err := write()
	if !timer.Stop() {
		<-reported // one status is written at a time
	}
	return stored, err
}
