package pipestoken

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// writeFailure returns the finding for an error of the API server about a write of the Secret,
// in the words of the API server. quotes reports whether a text contains the token.
func writeFailure(verb string, err error, quotes func(string) bool) finding.Finding {
	if isRefusal(err) {
		return finding.New(v1alpha1.SecretRejectedReason,
			"The API server refuses the Secret: "+words(err, quotes))
	}
	return finding.Newf(v1alpha1.SecretNotWrittenReason,
		"The operator cannot %s the Secret; it tries again by itself: %s", verb, words(err, quotes))
}

// changedByAdmission returns the finding for a Secret that the API server has stored differently
// from the write.
func changedByAdmission(changes []string) finding.Finding {
	const most = 3
	told := strings.Join(changes[:min(len(changes), most)], ", ")
	if len(changes) > most {
		told += fmt.Sprintf(", and %d more", len(changes)-most)
	}
	return finding.New(v1alpha1.SecretChangedReason, conditions.Printable(fmt.Sprintf(
		"An admission policy or webhook changes what the operator writes (%s): exempt Secrets with the label %s=%s from it",
		told, v1alpha1.ManagedByLabel, v1alpha1.ManagedByValue)))
}

// deniedByAdmission reports whether a webhook or a policy has refused the request. They can use
// any status code, even codes that have another meaning for the operator, for example 404 and
// 409.
func deniedByAdmission(err error) bool {
	var status *apierrors.StatusError
	if !errors.As(err, &status) {
		return false
	}
	return hasDenial(status.ErrStatus.Message)
}

// denials precede the words of a webhook or a policy in an error message.
var denials = []string{"denied the request", "denied request"}

func hasDenial(text string) bool {
	return slices.ContainsFunc(denials, func(denial string) bool { return strings.Contains(text, denial) })
}

// movedOn reports whether a write failed because the object has changed or no longer exists.
func movedOn(err error) bool {
	if errors.Is(err, errMovedOn) {
		return true
	}
	var status *apierrors.StatusError
	if !errors.As(err, &status) || deniedByAdmission(err) {
		return false
	}
	details := status.ErrStatus.Details
	gone := apierrors.IsNotFound(err) && (details == nil || details.Kind != "namespaces")
	return apierrors.IsConflict(err) || gone
}

// isRefusal reports whether the API server will refuse the same write again, for example because
// of a quota, an admission policy or an immutable Secret.
func isRefusal(err error) bool {
	return errors.Is(err, errHeld) || deniedByAdmission(err) || apierrors.IsForbidden(err) || apierrors.IsInvalid(err) ||
		apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err) || apierrors.IsMethodNotSupported(err)
}

// words returns the text of an error of the API server, shortened for a condition. It withholds
// the text only if the text contains the token.
func words(err error, quotes func(string) bool) string {
	text := err.Error()
	var unreachable *url.Error
	if errors.As(err, &unreachable) {
		// The URL contains no new information.
		text = "the API server cannot be reached: " + unreachable.Err.Error()
	}
	if !quotes(text) {
		return conditions.Printable(redact.Text(text))
	}
	const withheld = " (the rest is withheld because it may quote the token)"
	for _, denial := range denials {
		if head, _, found := strings.Cut(text, denial); found && !quotes(head) {
			return conditions.Printable(redact.Text(head+denial)) + withheld
		}
	}
	return strings.TrimSpace(withheld)
}

// quotesToken reports whether text contains the fetched token, or a token with that hash. The
// token may be plain, or encoded in JSON, in a URL or in base64.
func quotesToken(text, uid string, fetched redact.String, hash string) bool {
	return redact.Holds(text, fetched) || hash != "" && redact.AnyWord(text, func(word string) bool {
		return tokensecret.HashToken(uid, redact.NewString(word)) == hash
	})
}
